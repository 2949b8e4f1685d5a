/**
 * Enrollment: a CSR in, a certificate out, in nine steps. What will be signed is written down before the key is used
 * and compared after; a crash between the two leaves a reservation that nobody can connect with.
 */
import { X509Certificate } from 'node:crypto';
import { type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { type DeviceId, deviceUri, type Fingerprint, type FleetId } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { certificatePem } from '#common/x509/pem.ts';
import { makeSerialNumber } from '../ca/ca-certificates.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import type { CertificatePlan } from '../ca/plan.ts';
import type { CaSettings } from '../settings.ts';
import type { Store } from '../store/store.ts';
import type { Write } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import { type Csr, readCsr } from './csr.ts';
import { judgeCsr } from './csr-policy.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import type { Tokens } from './tokens.ts';

export const enrollmentSteps = [
  'check-token',
  'read-csr',
  'judge-csr',
  'judge-key-owner',
  'plan',
  'reserve',
  'sign',
  'compare',
  'record',
] as const;
export type EnrollmentStep = (typeof enrollmentSteps)[number];

export interface EnrollmentRequest {
  readonly token: string;
  readonly device: DeviceId;
  readonly csr: Buffer;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Enrolled {
  readonly deviceId: string;
  readonly fleet: string;
  readonly serialNumber: string;
  readonly fingerprint: Fingerprint;
  /** RFC 3339. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** PEM: the leaf; the issuing CA; the anchors. */
  readonly certificate: string;
  readonly chain: string;
  readonly ca: string;
}

export interface EnrollmentParts {
  store: Store;
  ca: IssuingCa;
  tokens: Tokens;
  feed: Feed;
  audit: Audit;
  gateways: Gateways;
  settings: CaSettings;
  trustDomain: string;
  clock: Clock;
  /** Told before each step; the fault injection of the tests kills the process there. */
  observe?: (step: EnrollmentStep) => void;
}

export class Enrollment {
  readonly #parts: EnrollmentParts;

  constructor(parts: EnrollmentParts) {
    this.#parts = parts;
  }

  /**
   * Faults `token-…` and `csr-…` as named; `device-revoked` for a device that was revoked; `conflict` for one of
   * another fleet. Nothing is spent unless a certificate is issued.
   */
  async enroll(request: EnrollmentRequest): Promise<Enrolled> {
    const { tokens, gateways, trustDomain, ca } = this.#parts;
    const step = this.#parts.observe ?? (() => {});
    const { device } = request;

    step('check-token');
    const token = await tokens.check(request.token, device);
    const fleet = token.fleet as FleetId;
    const uri = deviceUri(trustDomain, fleet, device);

    step('read-csr');
    const csr = await readCsr(request.csr);
    step('judge-csr');
    judgeCsr(csr, device, uri);
    step('judge-key-owner');
    await this.#judgeKeyOwner(csr, device);

    step('plan');
    const plan = this.#plan(device, uri);
    step('reserve');
    await this.#reserve(request, fleet, token.id, csr, plan);

    step('sign');
    const der = await this.#signAndCompare(plan, csr, token.id, step);
    step('record');
    const fingerprint = fingerprintOf(der);
    const change = await this.#record(plan, der, fingerprint, { device, fleet, token: token.id });
    gateways.announceLater(change);
    return {
      deviceId: device,
      fleet,
      serialNumber: plan.serialNumber,
      fingerprint,
      notBefore: timestamp(plan.notBeforeMs),
      notAfter: timestamp(plan.notAfterMs),
      certificate: certificatePem(der),
      chain: ca.issuing,
      ca: ca.bundle,
    };
  }

  /** After a crash: what was reserved and never recorded is revoked for good, and its token use given back. */
  async abandonReservations(): Promise<number> {
    const { store, tokens, audit, clock } = this.#parts;
    return store.writer.write(async (write) => {
      const reserved = await write
        .selectFrom('certificates')
        .select(['serial', 'token'])
        .where('state', '=', 'reserved')
        .execute();
      for (const { serial, token } of reserved) {
        await write
          .updateTable('certificates')
          .set({ state: 'revoked', revoked_ms: clock.now(), reason: 'abandoned' })
          .where('serial', '=', serial)
          .execute();
        if (token) await tokens.giveBack(write, token);
        await audit.append(write, {
          actor: 'system',
          action: 'certificate.abandon',
          target: serial,
          detail: {},
        });
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

  #plan(device: DeviceId, uri: string): CertificatePlan {
    const { clock, settings, ca } = this.#parts;
    const nowMs = Math.floor(clock.now() / 1000) * 1000;
    return {
      serialNumber: makeSerialNumber(),
      commonName: device,
      uris: [uri],
      dnsNames: [],
      addresses: [],
      purposes: ['clientAuth'],
      notBeforeMs: nowMs - settings.backdate,
      notAfterMs: Math.min(nowMs + settings.leafLifetime, ca.notAfterMs),
    };
  }

  async #reserve(
    request: EnrollmentRequest,
    fleet: FleetId,
    token: string,
    csr: Csr,
    plan: CertificatePlan,
  ): Promise<void> {
    const { store, tokens, clock } = this.#parts;
    await store.writer.write(async (write) => {
      await tokens.spend(write, token);
      await this.#admitDevice(write, request, fleet);
      const owner = await write
        .selectFrom('certificates')
        .select('device')
        .where('key_hash', '=', csr.keyHash)
        .where('device', '!=', request.device)
        .limit(1)
        .executeTakeFirst();
      if (owner) throw keyReused();
      await write
        .insertInto('certificates')
        .values({
          serial: plan.serialNumber,
          fingerprint: null,
          device: request.device,
          fleet,
          state: 'reserved',
          key_hash: csr.keyHash,
          plan: JSON.stringify(plan),
          der: null,
          token,
          not_before_ms: plan.notBeforeMs,
          not_after_ms: plan.notAfterMs,
          reserved_ms: clock.now(),
          revoked_ms: null,
          reason: null,
        })
        .execute();
    });
  }

  /** A device comes to be with its first certificate. */
  async #admitDevice(write: Write, { device, attributes }: EnrollmentRequest, fleet: FleetId): Promise<void> {
    const known = await write
      .selectFrom('devices')
      .select(['fleet', 'state'])
      .where('id', '=', device)
      .executeTakeFirst();
    if (known && known.fleet !== fleet && known.state !== 'deleted') {
      throw new Fault('conflict', `The device ${device} belongs to another fleet.`);
    }
    if (known?.state === 'revoked') {
      throw new Fault('device-revoked', `The device ${device} was revoked; delete it to let it enroll anew.`);
    }
    if (known?.state === 'disabled') {
      throw new Fault('device-disabled', `The device ${device} is disabled; enable it to let it enroll.`);
    }
    if (known && known.state !== 'deleted') return;
    const nowMs = this.#parts.clock.now();
    const row = {
      fleet,
      state: 'active' as const,
      role: null,
      attributes: JSON.stringify(attributes),
      updated_ms: nowMs,
    };
    await write
      .insertInto('devices')
      .values({ id: device, created_ms: nowMs, ...row })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ created_ms: nowMs, ...row }))
      .execute();
  }

  async #signAndCompare(
    plan: CertificatePlan,
    csr: Csr,
    token: string,
    step: (step: EnrollmentStep) => void,
  ): Promise<Buffer> {
    const { ca, store, tokens } = this.#parts;
    try {
      const der = await ca.sign(plan, csr.publicKeyDer);
      step('compare');
      compare(der, plan, csr, ca);
      return der;
    } catch (thrown) {
      await store.writer.write(async (write) => {
        const dead = { state: 'revoked' as const, reason: 'abandoned' };
        await write.updateTable('certificates').set(dead).where('serial', '=', plan.serialNumber).execute();
        await tokens.giveBack(write, token);
      });
      throw thrown;
    }
  }

  #record(
    plan: CertificatePlan,
    der: Buffer,
    fingerprint: Fingerprint,
    of: { device: DeviceId; fleet: FleetId; token: string },
  ) {
    const { store, feed, audit } = this.#parts;
    return store.writer.write(async (write) => {
      await write
        .updateTable('certificates')
        .set({ state: 'issued', der, fingerprint })
        .where('serial', '=', plan.serialNumber)
        .execute();
      const detail = { fingerprint, serialNumber: plan.serialNumber, fleet: of.fleet };
      await audit.append(write, {
        actor: `token:${of.token}`,
        action: 'certificate.issue',
        target: of.device,
        detail,
      });
      return feed.append(write, {
        kind: 'certificate-issued',
        fleet: of.fleet,
        device: of.device,
        serial: plan.serialNumber,
      });
    });
  }
}

const keyReused = () =>
  new Fault('csr-key-reused', 'This key is certified for another device already; make a new key.');

/** Re-reads what was signed with another parser, before anybody gets it. Faults `internal`. */
function compare(der: Buffer, plan: CertificatePlan, csr: Csr, ca: IssuingCa): void {
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
