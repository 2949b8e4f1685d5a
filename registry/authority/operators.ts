/**
 * Operators: people and programs that call the registry with a client certificate of its own CA, in an API role or in the
 * role of a document. One certificate each; it is looked up at every call, so that a revocation is in force at once.
 */
import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { type Fingerprint, operatorUri } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { certificatePem } from '#common/x509/pem.ts';
import { makeSerialNumber } from '../ca/ca-certificates.ts';
import type { CertificatePlan } from '../ca/plan.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import { type ApiRole, apiRoles, type Caller } from './api-tokens.ts';
import type { Audit } from './audit.ts';
import { readCsr } from './csr.ts';
import { judgeCsr } from './csr-policy.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import type { Issuers } from './issuers.ts';
import { keyTypes } from './profile.ts';
import { compareSigned } from './signed-leaf.ts';

export interface OperatorView {
  readonly name: string;
  /** An API role, or the name of a role document. */
  readonly role: string;
  readonly fingerprint: string;
  readonly notAfter: string;
  readonly createdAt: string;
  readonly revoked: boolean;
}

export interface OperatorOrder {
  readonly name: string;
  readonly role: string;
  /** DER. */
  readonly csr: Buffer;
  readonly ttlMs: number;
  /** Whether a certificate that it has already is revoked for this one. */
  readonly replace: boolean;
}

/** As it is handed out, in PEM. */
export interface OperatorCertificate extends OperatorView {
  readonly serialNumber: string;
  readonly certificate: string;
  readonly chain: string;
  readonly ca: string;
}

export interface OperatorsParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  issuers: Issuers;
  trustDomain: string;
  clock: Clock;
}

/** How far notBefore lies in the past, for clocks that are wrong. */
const backdateMs = 3_600_000;

const viewOf = (row: Tables['operators']): OperatorView => ({
  name: row.name,
  role: row.role,
  fingerprint: row.fingerprint,
  notAfter: timestamp(row.not_after_ms),
  createdAt: timestamp(row.created_ms),
  revoked: row.revoked === 1,
});

export class Operators {
  readonly #parts: OperatorsParts;

  constructor(parts: OperatorsParts) {
    this.#parts = parts;
  }

  async list(): Promise<OperatorView[]> {
    const rows = await this.#parts.read.selectFrom('operators').selectAll().orderBy('name').execute();
    return rows.map(viewOf);
  }

  /**
   * Recorded before it is signed, and compared before it is handed out. Faults `csr-…` as for a device of that name,
   * `not-found` for the role, `conflict` when the operator has a certificate that is good and is not to be replaced.
   */
  async create(order: OperatorOrder, actor: string): Promise<OperatorCertificate> {
    const { issuers, trustDomain, clock } = this.#parts;
    const { name } = order;
    const uri = operatorUri(trustDomain, name);
    const csr = await readCsr(order.csr);
    judgeCsr(csr, {
      keys: keyTypes,
      subject: [{ type: 'CN', value: name }],
      names: [`uri:${uri}`],
      purposes: ['clientAuth'],
    });
    const { id: issuer, ca } = issuers.preferred;
    const nowMs = Math.floor(clock.now() / 1000) * 1000;
    const plan: CertificatePlan = {
      serialNumber: makeSerialNumber(),
      commonName: name,
      subject: [],
      uris: [uri],
      dnsNames: [],
      addresses: [],
      purposes: ['clientAuth'],
      notBeforeMs: nowMs - backdateMs,
      notAfterMs: Math.min(nowMs + order.ttlMs, ca.notAfterMs),
    };
    await this.#reserve(order, csr.keyHash, issuer, plan);
    try {
      const der = await ca.sign(plan, csr.publicKeyDer);
      compareSigned(der, plan, csr.publicKeyDer, ca);
      const row = await this.#record(order, issuer, plan, der, actor);
      const pem = { certificate: certificatePem(der), chain: ca.issuing, ca: ca.bundle };
      return { ...viewOf(row), serialNumber: plan.serialNumber, ...pem };
    } catch (thrown) {
      await this.#abandon(issuer, plan.serialNumber);
      throw thrown;
    }
  }

  /** Refused from the next call on. Faults `not-found`. */
  async revoke(name: string, actor: string): Promise<void> {
    const { writer, audit, feed, gateways } = this.#parts;
    const change = await writer.write(async (write) => {
      const row = await write.selectFrom('operators').selectAll().where('name', '=', name).executeTakeFirst();
      if (!row) throw new Fault('not-found', `There is no operator ${name}.`);
      await this.#revokeCertificate(write, row.fingerprint, 'privilegeWithdrawn');
      await write.updateTable('operators').set({ revoked: 1 }).where('name', '=', name).execute();
      const detail = { before: viewOf(row), after: viewOf({ ...row, revoked: 1 }) };
      await audit.append(write, { actor, action: 'operator.revoke', target: name, detail });
      return feed.append(write, { kind: 'certificate-revoked', fingerprint: row.fingerprint });
    });
    gateways.announceLater(change);
  }

  /** The operator of a certificate that is good now. A role that is not there any more grants nothing. */
  async identify(fingerprint: Fingerprint): Promise<Caller | undefined> {
    const { read, clock } = this.#parts;
    const row = await read
      .selectFrom('operators')
      .innerJoin('certificates', 'certificates.fingerprint', 'operators.fingerprint')
      .innerJoin('issuers', 'issuers.id', 'certificates.issuer')
      .leftJoin('roles', 'roles.name', 'operators.role')
      .select(['operators.name', 'operators.role', 'operators.not_after_ms', 'roles.document'])
      .where('operators.fingerprint', '=', fingerprint)
      .where('operators.revoked', '=', 0)
      .where('certificates.state', '=', 'issued')
      .where('issuers.state', '!=', 'removed')
      .executeTakeFirst();
    if (!row || row.not_after_ms <= clock.now()) return undefined;
    const actor = `operator:${row.name}`;
    if (isApiRole(row.role)) return { actor, role: row.role };
    return row.document === null
      ? { actor, role: 'document' }
      : { actor, role: 'document', document: JSON.parse(row.document) };
  }

  async #reserve(
    order: OperatorOrder,
    keyHash: string,
    issuer: string,
    plan: CertificatePlan,
  ): Promise<void> {
    const { writer, clock } = this.#parts;
    const { name, csr } = order;
    await writer.write(async (write) => {
      await this.#judge(write, order);
      const owner = await write
        .selectFrom('certificates')
        .select('source')
        .where('key_hash', '=', keyHash)
        .where('source', '!=', `operator:${name}`)
        .limit(1)
        .executeTakeFirst();
      if (owner)
        throw new Fault('csr-key-reused', 'This key is certified for another already; make a new key.');
      await write
        .insertInto('certificates')
        .values({
          issuer,
          serial: plan.serialNumber,
          fingerprint: null,
          // No device, no fleet: no gateway lets it in.
          device: '',
          fleet: '',
          state: 'reserved',
          key_hash: keyHash,
          profile: 'operator',
          plan: JSON.stringify(plan),
          der: null,
          source: `operator:${name}`,
          csr_hash: hash('sha256', csr, 'hex'),
          not_before_ms: plan.notBeforeMs,
          not_after_ms: plan.notAfterMs,
          reserved_ms: clock.now(),
          revoked_ms: null,
          reason: null,
          replaces: null,
          used_ms: null,
          seen_ms: null,
          retire_ms: null,
          renew_after_ms: null,
          status_until_ms: null,
        })
        .execute();
    });
  }

  async #judge(write: Write, { name, role, replace }: OperatorOrder): Promise<void> {
    if (!isApiRole(role)) {
      const known = await write
        .selectFrom('roles')
        .select('name')
        .where('name', '=', role)
        .executeTakeFirst();
      if (!known)
        throw new Fault(
          'not-found',
          `There is no role ${role}: name one of ${apiRoles.join(', ')}, or a role document.`,
        );
    }
    const before = await write
      .selectFrom('operators')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst();
    if (before && !replace && before.revoked === 0 && before.not_after_ms > this.#parts.clock.now())
      throw new Fault(
        'conflict',
        `The operator ${name} has a certificate that is good; revoke it first, or ask to replace it.`,
      );
  }

  async #record(
    order: OperatorOrder,
    issuer: string,
    plan: CertificatePlan,
    der: Buffer,
    actor: string,
  ): Promise<Tables['operators']> {
    const { writer, audit, feed, gateways, clock } = this.#parts;
    const { name, role } = order;
    const fingerprint = fingerprintOf(der);
    const row = {
      name,
      fingerprint,
      role,
      not_after_ms: plan.notAfterMs,
      created_ms: clock.now(),
      revoked: 0,
    };
    const change = await writer.write(async (write) => {
      // Asked again: of two at once that would replace nothing, one comes too late.
      await this.#judge(write, order);
      const before = await write
        .selectFrom('operators')
        .selectAll()
        .where('name', '=', name)
        .executeTakeFirst();
      if (before) await this.#revokeCertificate(write, before.fingerprint, 'superseded');
      await write
        .updateTable('certificates')
        .set({ state: 'issued', der, fingerprint })
        .where('issuer', '=', issuer)
        .where('serial', '=', plan.serialNumber)
        .execute();
      await write.replaceInto('operators').values(row).execute();
      const detail = { before: before ? viewOf(before) : null, after: viewOf(row) };
      await audit.append(write, { actor, action: 'operator.create', target: name, detail });
      return before && feed.append(write, { kind: 'certificate-revoked', fingerprint: before.fingerprint });
    });
    if (change) gateways.announceLater(change);
    return row;
  }

  async #abandon(issuer: string, serial: string): Promise<void> {
    const { writer, audit, clock } = this.#parts;
    await writer.write(async (write) => {
      await write
        .updateTable('certificates')
        .set({ state: 'revoked', revoked_ms: clock.now(), reason: 'abandoned' })
        .where('issuer', '=', issuer)
        .where('serial', '=', serial)
        .execute();
      const detail = {
        issuer,
        before: { state: 'reserved' },
        after: { state: 'revoked', reason: 'abandoned' },
      };
      await audit.append(write, { actor: 'system', action: 'certificate.abandon', target: serial, detail });
    });
  }

  async #revokeCertificate(
    write: Write,
    fingerprint: string,
    reason: 'superseded' | 'privilegeWithdrawn',
  ): Promise<void> {
    await write
      .updateTable('certificates')
      .set({ state: 'revoked', revoked_ms: this.#parts.clock.now(), reason })
      .where('fingerprint', '=', fingerprint)
      .where('state', 'in', ['issued', 'held'])
      .execute();
  }
}

const isApiRole = (role: string): role is ApiRole => apiRoles.some((each) => each === role);
