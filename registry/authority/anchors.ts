/**
 * Trust anchors of manufacturers: device CAs that are not ours, registered by whoever holds their key, on explicit terms,
 * and removed with a word beforehand on who would lose access. Rows of `issuers` of the kind `foreign`.
 */
import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { AnchorMode, IssuerState } from '#common/contract/directory.ts';
import type { Receipt } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { FleetId } from '#common/identity.ts';
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import { judgeAnchor, judgeValidity } from '#common/x509/certificate-profile.ts';
import { nameForPeople } from '#common/x509/name.ts';
import { certificateBundle, certificateDer, certificatePem, certificatesDer } from '#common/x509/pem.ts';
import { issuerOf } from '../store/directory.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import { type AnchorRegister, documentOf } from './anchor-register.ts';
import { type AnchorTerms, judgeTerms } from './anchor-terms.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { CrlSourceView, ForeignCrls } from './foreign-crls.ts';
import { heldUntilMs } from './foreign-status.ts';
import type { Gateways } from './gateways.ts';
import type { Challenges, PossessionProof } from './possession.ts';

export interface AnchorOrder {
  readonly name: string;
  /** PEM. */
  readonly certificate: string;
  readonly fleet: FleetId;
  readonly mode: AnchorMode;
  readonly terms: AnchorTerms;
  /** `waived`: an administrator answers for it, and the audit says so. */
  readonly proof: PossessionProof | 'waived';
}

export interface AnchorView {
  readonly name: string;
  readonly state: IssuerState;
  readonly fleet: string;
  readonly enrollment: AnchorMode;
  readonly subject: string;
  /** Lower-case hex: tells anchors of one subject apart. */
  readonly keyId: string | null;
  readonly fingerprint: string;
  readonly notAfter: string;
  readonly terms: AnchorTerms;
  /** Until when the state of its certificates is known; null where nothing has to be fetched. */
  readonly statusUntil: string | null;
  readonly sources: readonly (Omit<CrlSourceView, 'nextUpdateMs'> & { readonly nextUpdate: string | null })[];
  readonly createdAt: string;
}

/** What a removal does, or would do. */
export interface Removal {
  readonly name: string;
  /** Devices that come in by a certificate of this anchor alone. */
  readonly devices: number;
  /** The first of them. */
  readonly first: readonly string[];
  /** Null for a dry run. */
  readonly receipt: Receipt | null;
}

export interface AnchorsParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  register: AnchorRegister;
  challenges: Challenges;
  crls: ForeignCrls;
  maxAnchors: number;
  clock: Clock;
}

const firstShown = 100;

export class Anchors {
  readonly #parts: AnchorsParts;

  constructor(parts: AnchorsParts) {
    this.#parts = parts;
  }

  /**
   * Faults `malformed` for terms that do not fit and for a certificate that is no good anchor, `certificate-malformed`,
   * `anchor-possession`, `conflict` for a name or a CA that is taken, `not-found` for a fleet or a role, `quota-exceeded`.
   */
  async add(order: AnchorOrder, actor: string): Promise<AnchorView & { certificate: string }> {
    const { register, writer, audit, feed, gateways, challenges, crls, clock, maxAnchors } = this.#parts;
    const { name, fleet, mode, terms, proof } = order;
    const ca = readCertificate(certificateDer(order.certificate));
    judgeCa(ca, clock.now());
    judgeTerms(terms, mode);
    for (const der of certificateBundle(terms.intermediates)) readCertificate(der);
    if (register.all.length >= maxAnchors)
      throw new Fault(
        'quota-exceeded',
        `There are ${maxAnchors} anchors, as many as may be; remove one first.`,
      );
    if (proof !== 'waived') challenges.spend(name, ca, proof);
    const row: Tables['issuers'] = {
      id: name,
      kind: 'foreign',
      state: 'active',
      name,
      certificate: certificatePem(ca.der),
      fleet,
      mode,
      document: documentOf(terms),
      status_until_ms: terms.revocation.crl.length > 0 ? heldUntilMs({ terms, maxStaleMs: 0 }, null) : null,
      crl_number: 0,
      created_ms: clock.now(),
    };
    const change = await writer.write(async (write) => {
      await judgeNew(write, row, terms);
      await judgeNotOwn(write, ca);
      await write.replaceInto('issuers').values(row).execute();
      const possession = proof === 'waived' ? 'waived' : proof.certificate ? 'certificate' : 'signature';
      const after = { fleet, mode, ...terms, fingerprint: hash('sha256', ca.der, 'hex') };
      const detail = { possession, before: null, after };
      await audit.append(write, { actor, action: 'anchor.add', target: name, detail });
      return feed.append(write, { kind: 'issuer-changed', fleet, issuer: issuerOf(row) });
    });
    register.take(row);
    gateways.announceLater(change);
    await crls.follow(register.find(name)!);
    return this.show(name);
  }

  async list(): Promise<AnchorView[]> {
    const rows = await this.#parts.read
      .selectFrom('issuers')
      .selectAll()
      .where('kind', '=', 'foreign')
      .orderBy('id')
      .execute();
    return rows.map((row) => this.#view(row));
  }

  /** Faults `not-found`. */
  async show(name: string): Promise<AnchorView & { certificate: string }> {
    const row = await this.#parts.register.row(name);
    if (!row) throw unknown(name);
    return { ...this.#view(row), certificate: row.certificate };
  }

  /** Who would lose access; nothing is changed. Faults `not-found`. */
  async preview(name: string): Promise<Removal> {
    await this.show(name);
    return { name, ...(await this.#losers(name)), receipt: null };
  }

  /** Trusted no longer: live sessions of its certificates end. The certificates stay recorded. Faults `not-found`. */
  async remove(name: string, actor: string): Promise<Removal> {
    const { register, writer, audit, feed, gateways, crls } = this.#parts;
    await this.show(name);
    const losers = await this.#losers(name);
    const { row, change } = await writer.write(async (write) => {
      const values = { state: 'removed' as const };
      const row = await write
        .updateTable('issuers')
        .set(values)
        .where('id', '=', name)
        .returningAll()
        .executeTakeFirstOrThrow();
      const detail = { devices: losers.devices, before: { state: 'active' }, after: { state: row.state } };
      await audit.append(write, { actor, action: 'anchor.remove', target: name, detail });
      return { row, change: await feed.append(write, { kind: 'issuer-changed', issuer: issuerOf(row) }) };
    });
    register.take(row);
    await crls.forget(name);
    return { name, ...losers, receipt: await gateways.announce(change) };
  }

  /** Devices with a live certificate of the anchor and none of anybody else who is trusted. */
  async #losers(name: string): Promise<{ devices: number; first: string[] }> {
    const { read, clock } = this.#parts;
    const nowMs = clock.now();
    const losing = read
      .selectFrom('certificates as c')
      .innerJoin('devices as d', 'd.id', 'c.device')
      .where('c.issuer', '=', name)
      .where('c.state', '=', 'issued')
      .where('c.not_after_ms', '>', nowMs)
      .where('d.state', '=', 'active')
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('certificates as o')
              .innerJoin('issuers as i', 'i.id', 'o.issuer')
              .select('o.serial')
              .whereRef('o.device', '=', 'c.device')
              .where('o.issuer', '!=', name)
              .where('i.state', '!=', 'removed')
              .where('o.state', '=', 'issued')
              .where('o.not_after_ms', '>', nowMs),
          ),
        ),
      );
    const { devices } = await losing
      .select(({ fn }) => fn.count<number>('c.device').distinct().as('devices'))
      .executeTakeFirstOrThrow();
    const first = await losing.select('c.device').distinct().orderBy('c.device').limit(firstShown).execute();
    return { devices, first: first.map(({ device }) => device) };
  }

  #view(row: Tables['issuers']): AnchorView {
    const ca = readCertificate(certificateDer(row.certificate));
    const { terms } = JSON.parse(row.document) as { terms: AnchorTerms };
    return {
      name: row.id,
      state: row.state,
      fleet: row.fleet!,
      enrollment: row.mode!,
      subject: nameForPeople(ca.subject),
      keyId: ca.extensions.subjectKeyId?.keyId ?? null,
      fingerprint: hash('sha256', ca.der, 'hex'),
      notAfter: timestamp(ca.notAfterMs),
      terms,
      statusUntil: row.status_until_ms === null ? null : timestamp(row.status_until_ms),
      sources: this.#parts.crls.view(row.id).map(({ nextUpdateMs, ...source }) => ({
        ...source,
        nextUpdate: nextUpdateMs === null ? null : timestamp(nextUpdateMs),
      })),
      createdAt: timestamp(row.created_ms),
    };
  }
}

const unknown = (name: string) => new Fault('not-found', `There is no anchor ${name}.`);

/** What no path could end in is told when it is registered, not at the first device. */
function judgeCa(ca: Certificate, nowMs: number): void {
  const refusal = judgeAnchor(ca) ?? judgeValidity(ca, nowMs);
  if (!refusal) return;
  const fields = { problem: refusal.problem };
  throw new Fault(
    'malformed',
    `This certificate cannot be an anchor (${refusal.problem}): ${refusal.detail}.`,
    { fields },
  );
}

/** A removed one may come back under its name, with the same certificate: what it has vouched for is good again then. */
async function judgeNew(write: Write, row: Tables['issuers'], { template }: AnchorTerms): Promise<void> {
  const same = await write
    .selectFrom('issuers')
    .select(['id', 'state', 'kind', 'certificate'])
    .where(({ eb, or }) => or([eb('id', '=', row.id), eb('certificate', '=', row.certificate)]))
    .execute();
  for (const { id, state, kind, certificate } of same) {
    if (kind === 'own')
      throw new Fault('conflict', `${id} is the name of an issuer of this registry itself.`);
    if (id !== row.id && state !== 'removed')
      throw new Fault('conflict', `This CA is the anchor ${id} already.`);
    if (id !== row.id) continue;
    if (state !== 'removed') throw new Fault('conflict', `The anchor ${id} exists already.`);
    if (certificate !== row.certificate)
      throw new Fault('conflict', `The removed anchor ${id} had another certificate; take another name.`);
  }
  const fleet = await write.selectFrom('fleets').select('id').where('id', '=', row.fleet).executeTakeFirst();
  if (!fleet) throw new Fault('not-found', `There is no fleet ${row.fleet}.`);
  if (template.role === null) return;
  const role = await write
    .selectFrom('roles')
    .select('name')
    .where('name', '=', template.role)
    .executeTakeFirst();
  if (!role) throw new Fault('not-found', `There is no role ${template.role}.`);
}

async function judgeNotOwn(write: Write, ca: Certificate): Promise<void> {
  const own = await write
    .selectFrom('issuers')
    .select(['id', 'certificate'])
    .where('kind', '=', 'own')
    .execute();
  const same = own.find(({ certificate }) =>
    readCertificate(certificatesDer(certificate)[0]!).spki.equals(ca.spki),
  );
  if (same) throw new Fault('conflict', `This CA is ${same.id}, an issuer of this registry itself.`);
}
