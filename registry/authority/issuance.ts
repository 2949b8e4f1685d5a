/**
 * Issuance: from a right and a CSR to a certificate that is recorded. What will be signed is written down before the key
 * is used and compared after; a crash between the two leaves a reservation that nobody can connect with. By what right,
 * others decide: an enrollment token, a claim certificate, a renewal.
 */
import { X509Certificate } from 'node:crypto';
import { type Clock, timestamp } from '#common/clock.ts';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { type DeviceId, deviceUri, type Fingerprint, type FleetId } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { certificatePem } from '#common/x509/pem.ts';
import { makeSerialNumber } from '../ca/ca-certificates.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import type { CertificatePlan } from '../ca/plan.ts';
import type { Store } from '../store/store.ts';
import type { Write } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Csr } from './csr.ts';
import { judgeCsr } from './csr-policy.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import type { Issuers } from './issuers.ts';
import type { Profile } from './profile.ts';
import { renewAfterMs } from './renewal-window.ts';

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
  /** The certificate that is renewed. */
  readonly replaces: Fingerprint | null;
  /** In the transaction that reserves: spends the right, and admits the device. Faults when it is gone by now. */
  spend(write: Write): Promise<void>;
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

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
  }

  /** Faults `csr-…` as named, `too-many-certificates`, and what the mandate faults. Nothing is spent unless a certificate is issued. */
  async issue(mandate: Mandate, csr: Csr, csrHash: string): Promise<IssuedCertificate> {
    const { trustDomain, gateways, observe, issuers } = this.#parts;
    const uri = deviceUri(trustDomain, mandate.fleet, mandate.device);

    observe('judge-csr');
    judgeCsr(csr, mandate.device, uri);
    observe('judge-key-owner');
    await this.#judgeKeyOwner(csr, mandate.device);

    observe('plan');
    const draft = this.#draft(mandate, csr, csrHash, uri, issuers.preferred);
    observe('reserve');
    await this.#reserve(draft);

    observe('sign');
    const der = await this.#signAndCompare(draft);
    observe('record');
    const fingerprint = fingerprintOf(der);
    const change = await this.#record(draft, der, fingerprint);
    gateways.announceLater(change);
    return answerOf(draft, der, fingerprint);
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

  #draft(mandate: Mandate, csr: Csr, csrHash: string, uri: string, issuer: Draft['issuer']): Draft {
    const { profile, device } = mandate;
    const nowMs = Math.floor(this.#parts.clock.now() / 1000) * 1000;
    const serialNumber = makeSerialNumber();
    const notAfterMs = Math.min(nowMs + profile.validityMs, issuer.ca.notAfterMs);
    const plan: CertificatePlan = {
      serialNumber,
      commonName: device,
      uris: [uri],
      dnsNames: [],
      addresses: [],
      purposes: profile.document.purposes,
      notBeforeMs: nowMs - profile.backdateMs,
      notAfterMs,
    };
    const renewAfter = renewAfterMs(nowMs, notAfterMs, profile.document.renewal, serialNumber);
    return { mandate, csr, csrHash, issuer, plan, renewAfterMs: renewAfter };
  }

  async #reserve({ mandate, csr, csrHash, issuer, plan, renewAfterMs }: Draft): Promise<void> {
    const { store, clock } = this.#parts;
    const { device, fleet, profile, source, replaces } = mandate;
    await store.writer.write(async (write) => {
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
      compare(der, plan, csr, issuer.ca);
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
      await write
        .updateTable('certificates')
        .set({ state: 'issued', der, fingerprint })
        .where('issuer', '=', issuer.id)
        .where('serial', '=', plan.serialNumber)
        .execute();
      const { serialNumber } = plan;
      const after = { fingerprint, serialNumber, issuer: issuer.id, fleet, source, replaces };
      const detail = { before: null, after };
      await audit.append(write, { actor, action: 'certificate.issue', target: device, detail });
      return feed.append(write, { kind: 'certificate-issued', fleet, device, fingerprint });
    });
  }
}

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

function answerOf({ mandate, plan, issuer, renewAfterMs }: Draft, der: Buffer, fingerprint: Fingerprint) {
  return {
    deviceId: mandate.device,
    fleet: mandate.fleet,
    serialNumber: plan.serialNumber,
    fingerprint,
    notBefore: timestamp(plan.notBeforeMs),
    notAfter: timestamp(plan.notAfterMs),
    renewAfter: timestamp(renewAfterMs),
    certificate: certificatePem(der),
    chain: issuer.ca.issuing,
    ca: issuer.ca.bundle,
  };
}

/** Re-reads what was signed with another parser, before anybody gets it. Faults `internal`. */
export function compare(der: Buffer, plan: CertificatePlan, csr: Csr, ca: IssuingCa): void {
  const read = new X509Certificate(der);
  const same =
    read.serialNumber.toLowerCase() === plan.serialNumber &&
    read.subject === `CN=${plan.commonName}` &&
    read.subjectAltName === plan.uris.map((uri) => `URI:${uri}`).join(', ') &&
    !read.ca &&
    read.publicKey.equals(csr.publicKey) &&
    ca.isIssuerOf(read);
  if (!same) throw new Fault('internal', 'The certificate that was signed is not the one that was planned.');
}
