/**
 * Issuance: from a right and a CSR to a certificate that is recorded. What will be signed is written down before the key
 * is used and compared after; a crash between the two leaves a reservation that nobody can connect with. By what right,
 * others decide: an enrollment token, a claim certificate, a renewal.
 */
import type { Clock } from '#common/clock.ts';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { type DeviceId, deviceUri, type Fingerprint, type FleetId } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { makeSerialNumber } from '../ca/ca-certificates.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import type { CertificatePlan } from '../ca/plan.ts';
import type { Store } from '../store/store.ts';
import type { Write } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Csr } from './csr.ts';
import { type CsrTerms, judgeCsr } from './csr-policy.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import { type IssuedRow, issuedAnswer } from './issued-answer.ts';
import type { Issuers } from './issuers.ts';
import { type LeafNames, leafNamesOf } from './leaf-names.ts';
import type { Profile } from './profile.ts';
import { EvenShares, renewAfterMs } from './renewal-window.ts';
import { compareSigned } from './signed-leaf.ts';

export const issuanceSteps = [
  'judge-csr',
  'judge-key-owner',
  'plan',
  'reserve',
  'sign',
  'compare',
  'record',
] as const;
export type IssuanceStep = (typeof issuanceSteps)[number];

/** By what right a certificate is issued. */
export interface Mandate {
  readonly device: DeviceId;
  readonly fleet: FleetId;
  readonly profile: Profile;
  /** `token:<id>`, `claim:<id>`, `renewal`…: kept with the certificate. Its first word names who takes a use back. */
  readonly source: string;
  /** Who did it, for the audit. */
  readonly actor: string;
  /** Of a device that is not known yet; one that is has its own. They fill the templates of the profile. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** The certificate that is renewed. */
  readonly replaces: Fingerprint | null;
  /** In the transaction that reserves: spends the right, and admits the device. Faults when it is gone by now. */
  spend(write: Write): Promise<void>;
  /** After that transaction: what `spend` has done is on disk. */
  spent?(): void;
}

/** Gives a use back when nothing came of it, by the id behind the colon of a source. */
export type GiveBack = (write: Write, id: string) => Promise<void>;

export interface IssuanceParts {
  store: Store;
  issuers: Issuers;
  feed: Feed;
  audit: Audit;
  gateways: Gateways;
  trustDomain: string;
  clock: Clock;
  /** By the first word of a source. */
  giveBack: Readonly<Record<string, GiveBack>>;
  /** Told before each step; the fault injection of the tests kills the process there. */
  observe: (step: IssuanceStep) => void;
}

export interface Recalled {
  /** By what right it was issued then. */
  readonly source: string;
  readonly issued: IssuedCertificate;
}

interface Draft {
  readonly mandate: Mandate;
  readonly csr: Csr;
  readonly csrHash: string;
  readonly issuer: { readonly id: string; readonly ca: IssuingCa };
  readonly plan: CertificatePlan;
  readonly renewAfterMs: number;
}

export class Issuance {
  readonly #parts: IssuanceParts;
  readonly #shares = new EvenShares();

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
  }

  /** Faults `csr-…` as named, `too-many-certificates`, and what the mandate faults. Nothing is spent unless a certificate is issued. */
  async issue(mandate: Mandate, csr: Csr, csrHash: string): Promise<IssuedCertificate> {
    const { gateways, observe, issuers } = this.#parts;
    const names = await this.judge(mandate, csr);
    observe('plan');
    const draft = this.#draft(mandate, csr, csrHash, names, issuers.preferred);
    observe('reserve');
    await this.#reserve(draft);
    mandate.spent?.();

    observe('sign');
    const der = await this.#signAndCompare(draft);
    observe('record');
    const fingerprint = fingerprintOf(der);
    const change = await this.#record(draft, der, fingerprint);
    gateways.announceLater(change);
    return answerOf(draft, der, fingerprint);
  }

  /** What would be refused at once, without spending anything: `csr-…` as named. Gives the names that the leaf will have. */
  async judge(
    mandate: Pick<Mandate, 'device' | 'fleet' | 'profile' | 'attributes'>,
    csr: Csr,
  ): Promise<LeafNames> {
    const { trustDomain, observe } = this.#parts;
    const { device, fleet, profile } = mandate;
    observe('judge-csr');
    const names = leafNamesOf(profile.document, {
      id: device,
      fleet,
      attributes: await this.#attributesOf(mandate),
    });
    const uris = [deviceUri(trustDomain, fleet, device), ...names.uris];
    const whole = { ...names, uris };
    judgeCsr(csr, termsOf(profile, device, whole));
    observe('judge-key-owner');
    await this.#judgeKeyOwner(csr, device);
    return whole;
  }

  /**
   * The certificate that a device was issued for this key or this CSR and that is good now, answered like the first time.
   * Undefined when there is none.
   */
  async recall(
    device: DeviceId,
    by: { keyHash: string } | { csrHash: string },
  ): Promise<Recalled | undefined> {
    const { store, clock, issuers } = this.#parts;
    const select = store.read
      .selectFrom('certificates')
      .selectAll()
      .where('device', '=', device)
      .where('state', '=', 'issued')
      .where('not_after_ms', '>', clock.now())
      .orderBy('reserved_ms', 'desc')
      .limit(1);
    const row = await ('keyHash' in by
      ? select.where('key_hash', '=', by.keyHash)
      : select.where('csr_hash', '=', by.csrHash)
    ).executeTakeFirst();
    if (!row || !issuers.ids.includes(row.issuer)) return undefined;
    return { source: row.source, issued: issuedAnswer(row as IssuedRow, issuers.find(row.issuer)) };
  }

  /** After a crash: what was reserved and never recorded is revoked for good, and what was spent on it given back. */
  async abandonReservations(): Promise<number> {
    const { store } = this.#parts;
    return store.writer.write(async (write) => {
      const reserved = await write
        .selectFrom('certificates')
        .select(['issuer', 'serial', 'source'])
        .where('state', '=', 'reserved')
        .execute();
      for (const { issuer, serial, source } of reserved) {
        await this.#abandon(write, issuer, serial, source);
      }
      return reserved.length;
    });
  }

  async #attributesOf({
    device,
    profile,
    attributes = {},
  }: Pick<Mandate, 'device' | 'profile' | 'attributes'>) {
    const { subject, names } = profile.document;
    if (subject.length === 0 && names.length === 0) return attributes;
    const known = await this.#parts.store.read
      .selectFrom('devices')
      .select('attributes')
      .where('id', '=', device)
      .where('state', '!=', 'deleted')
      .executeTakeFirst();
    return known ? (JSON.parse(known.attributes) as Record<string, string>) : attributes;
  }

  async #judgeKeyOwner(csr: Csr, device: DeviceId): Promise<void> {
    const other = await this.#parts.store.read
      .selectFrom('certificates')
      .select('device')
      .where('key_hash', '=', csr.keyHash)
      .where('device', '!=', device)
      .limit(1)
      .executeTakeFirst();
    if (other) throw keyReused();
  }

  #draft(mandate: Mandate, csr: Csr, csrHash: string, names: LeafNames, issuer: Draft['issuer']): Draft {
    const { profile, device } = mandate;
    const nowMs = Math.floor(this.#parts.clock.now() / 1000) * 1000;
    const serialNumber = makeSerialNumber();
    if (issuer.ca.notAfterMs <= nowMs)
      throw new Fault('unavailable', 'The issuing CA has expired; its operator has to roll it over.');
    const notAfterMs = Math.min(nowMs + profile.validityMs, issuer.ca.notAfterMs);
    const plan: CertificatePlan = {
      serialNumber,
      commonName: device,
      ...names,
      addresses: [],
      purposes: profile.document.purposes,
      notBeforeMs: nowMs - profile.backdateMs,
      notAfterMs,
    };
    const share = this.#shares.next(mandate.fleet);
    const renewAfter = renewAfterMs(nowMs, notAfterMs, profile.document.renewal, share);
    return { mandate, csr, csrHash, issuer, plan, renewAfterMs: renewAfter };
  }

  async #reserve({ mandate, csr, csrHash, issuer, plan, renewAfterMs }: Draft): Promise<void> {
    const { store, clock, issuers } = this.#parts;
    const { device, fleet, profile, source, replaces } = mandate;
    await store.writer.write(async (write) => {
      if (!issuers.maySign(issuer.id))
        throw new Fault('unavailable', 'The issuing CA has just been changed; try again.', {
          retryAfterMs: 1,
        });
      await mandate.spend(write);
      await judgeRoom(write, mandate, csr, clock.now());
      await write
        .insertInto('certificates')
        .values({
          issuer: issuer.id,
          serial: plan.serialNumber,
          fingerprint: null,
          device,
          fleet,
          state: 'reserved',
          key_hash: csr.keyHash,
          profile: profile.name,
          plan: JSON.stringify(plan),
          der: null,
          source,
          csr_hash: csrHash,
          not_before_ms: plan.notBeforeMs,
          not_after_ms: plan.notAfterMs,
          reserved_ms: clock.now(),
          revoked_ms: null,
          reason: null,
          replaces,
          used_ms: null,
          seen_ms: null,
          retire_ms: null,
          renew_after_ms: renewAfterMs,
          status_until_ms: null,
        })
        .execute();
    });
  }

  async #signAndCompare({ plan, csr, issuer, mandate }: Draft): Promise<Buffer> {
    try {
      const der = await issuer.ca.sign(plan, csr.publicKeyDer);
      this.#parts.observe('compare');
      compareSigned(der, plan, csr.publicKeyDer, issuer.ca);
      return der;
    } catch (thrown) {
      await this.#parts.store.writer.write((write) =>
        this.#abandon(write, issuer.id, plan.serialNumber, mandate.source),
      );
      throw thrown;
    }
  }

  async #abandon(write: Write, issuer: string, serial: string, source: string): Promise<void> {
    await write
      .updateTable('certificates')
      .set({ state: 'revoked', revoked_ms: this.#parts.clock.now(), reason: 'abandoned' })
      .where('issuer', '=', issuer)
      .where('serial', '=', serial)
      .execute();
    const detail = {
      issuer,
      before: { state: 'reserved' },
      after: { state: 'revoked', reason: 'abandoned' },
    };
    await this.#parts.audit.append(write, {
      actor: 'system',
      action: 'certificate.abandon',
      target: serial,
      detail,
    });
    const [kind = '', id = ''] = source.split(':', 2);
    await this.#parts.giveBack[kind]?.(write, id);
  }

  #record({ plan, mandate, issuer }: Draft, der: Buffer, fingerprint: Fingerprint) {
    const { store, feed, audit } = this.#parts;
    const { device, fleet, actor, source, replaces } = mandate;
    return store.writer.write(async (write) => {
      const { numUpdatedRows } = await write
        .updateTable('certificates')
        .set({ state: 'issued', der, fingerprint })
        .where('issuer', '=', issuer.id)
        .where('serial', '=', plan.serialNumber)
        .where('state', '=', 'reserved')
        .executeTakeFirst();
      if (numUpdatedRows === 0n)
        throw new Fault('conflict', 'The right to this certificate was withdrawn while it was being made.');
      const { serialNumber } = plan;
      const after = { fingerprint, serialNumber, issuer: issuer.id, fleet, source, replaces };
      const detail = { before: null, after };
      await audit.append(write, { actor, action: 'certificate.issue', target: device, detail });
      return feed.append(write, { kind: 'certificate-issued', fleet, device, fingerprint });
    });
  }
}

const termsOf = ({ document }: Profile, device: DeviceId, names: LeafNames): CsrTerms => ({
  keys: document.keys,
  purposes: document.purposes,
  subject: [{ type: 'CN', value: device }, ...names.subject],
  names: [...names.uris.map((uri) => `uri:${uri}`), ...names.dnsNames.map((name) => `dns:${name}`)],
});

const keyReused = () =>
  new Fault('csr-key-reused', 'This key is certified for another device already; make a new key.');

/** Asked in the transaction that reserves: neither the key nor the last place may go to two at once. */
async function judgeRoom(write: Write, { device, profile }: Mandate, csr: Csr, nowMs: number): Promise<void> {
  const owner = await write
    .selectFrom('certificates')
    .select('device')
    .where('key_hash', '=', csr.keyHash)
    .where('device', '!=', device)
    .limit(1)
    .executeTakeFirst();
  if (owner) throw keyReused();
  const { live } = await write
    .selectFrom('certificates')
    .select(({ fn }) => fn.countAll<number>().as('live'))
    .where('device', '=', device)
    .where('state', 'in', ['issued', 'held', 'reserved'])
    .where('not_after_ms', '>', nowMs)
    .executeTakeFirstOrThrow();
  if (live >= profile.document.maxCertificates) {
    throw new Fault(
      'too-many-certificates',
      `The device ${device} has ${live} live certificates, as many as its profile allows; revoke one first.`,
    );
  }
}

const answerOf = ({ mandate, plan, issuer, renewAfterMs }: Draft, der: Buffer, fingerprint: Fingerprint) =>
  issuedAnswer(
    {
      device: mandate.device,
      fleet: mandate.fleet,
      serial: plan.serialNumber,
      fingerprint,
      der,
      not_before_ms: plan.notBeforeMs,
      not_after_ms: plan.notAfterMs,
      renew_after_ms: renewAfterMs,
    },
    issuer.ca,
  );
