/**
 * Renewal: a certificate of ours, proved by TLS, and a CSR in; its successor out. The old one stays good until the new one
 * is used, and the same CSR gets the same answer, so that a lost answer locks no device out.
 */
import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { RateLimiter } from '#common/gcra.ts';
import type { DeviceId, Fingerprint, FleetId } from '#common/identity.ts';
import type { Metrics } from '#common/metrics.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import type { Tables } from '../store/tables.ts';
import type { Write } from '../store/writer.ts';
import { readCsr } from './csr.ts';
import type { Fleets } from './fleets.ts';
import type { Gateways } from './gateways.ts';
import { type Issuance, type IssuanceStep, issuanceSteps, type Mandate } from './issuance.ts';
import { type IssuedRow, issuedAnswer } from './issued-answer.ts';
import type { Issuers } from './issuers.ts';
import { readLineage, roomIn } from './lineage.ts';
import type { Profile } from './profile.ts';
import type { Profiles } from './profiles.ts';
import { judgeRenewable, type Renewable } from './renewable.ts';
import type { Retirement } from './retirement.ts';
import type { Sightings } from './sightings.ts';

export const renewalSteps = ['check-certificate', 'read-csr', ...issuanceSteps, 'answer'] as const;
export type RenewalStep = (typeof renewalSteps)[number] | IssuanceStep;

export interface RenewalParts {
  read: Kysely<Tables>;
  issuance: Issuance;
  issuers: Issuers;
  fleets: Fleets;
  profiles: Profiles;
  retirement: Retirement;
  sightings: Sightings;
  gateways: Gateways;
  metrics: Metrics;
  clock: Clock;
  /** Longest CSR, bytes of DER. */
  maxCsrBytes: number;
  /** Most renewals an hour of one device; the same CSR sent again does not count. */
  perDevice: number;
  /** Told before each step; the fault injection of the tests kills the process there. */
  observe: (step: RenewalStep) => void;
}

const hourSeconds = 3600;
/** Devices whose renewals are counted; the one unseen for longest is forgotten first. */
const countedDevices = 100_000;

type Outcome = { readonly result: 'issued' | 'repeated'; readonly issued: IssuedCertificate };

export class Renewal {
  readonly #parts: RenewalParts;
  readonly #limit: RateLimiter;
  /** By certificate and CSR: one that is sent twice at once is answered by the same certificate. */
  readonly #underWay = new Map<string, Promise<Outcome>>();

  constructor(parts: RenewalParts) {
    const { perDevice } = parts;
    this.#parts = parts;
    this.#limit = new RateLimiter({ perSecond: perDevice / hourSeconds, burst: perDevice }, countedDevices);
  }

  /**
   * `chain` is what the TLS handshake has shown, DER, leaf first: the handshake has proved the leaf's key. `csr` is DER,
   * for the same key or a new one. Faults as admission does for a certificate that is not good; `forbidden` for one of
   * another CA; `renewal-early` with `renewAfter`, `renewal-subject`, `csr-…`, `too-many-certificates`, `rate-limited`.
   */
  async renew(chain: readonly Buffer[], csr: Buffer, actor: string): Promise<IssuedCertificate> {
    const { metrics } = this.#parts;
    try {
      const { result, issued } = await this.#renewOnce(chain[0], csr, actor);
      metrics.renewalsTotal.inc({ result, reason: 'none' });
      return issued;
    } catch (thrown) {
      metrics.renewalsTotal.inc({ result: 'refused', reason: Fault.of(thrown).kind });
      throw thrown;
    }
  }

  #renewOnce(leaf: Buffer | undefined, csr: Buffer, actor: string): Promise<Outcome> {
    const { maxCsrBytes } = this.#parts;
    if (!leaf) throw new Fault('no-certificate', 'Renew with the client certificate of the device.');
    if (csr.length > maxCsrBytes)
      throw new Fault('csr-too-large', `A CSR has at most ${maxCsrBytes} bytes of DER here.`);
    const fingerprint = fingerprintOf(leaf);
    const csrHash = hash('sha256', csr, 'hex');
    const name = `${fingerprint} ${csrHash}`;
    const same = this.#underWay.get(name);
    if (same) return same.then(({ issued }) => ({ result: 'repeated', issued }));
    const mine = this.#renew(fingerprint, csr, csrHash, actor).finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, mine);
    return mine;
  }

  async #renew(fingerprint: Fingerprint, der: Buffer, csrHash: string, actor: string): Promise<Outcome> {
    const { issuance, fleets, profiles, clock, observe } = this.#parts;
    observe('check-certificate');
    const old = await this.#find(this.#parts.read, fingerprint);
    judgeRenewable(old, clock.now());
    const before = await this.#answered(fingerprint, csrHash);
    if (before) return { result: 'repeated', issued: before };
    judgeTime(old, clock.now());
    this.#count(old.device);
    observe('read-csr');
    const csr = await readCsr(der);
    const { profile: name } = await fleets.terms(old.fleet as FleetId);
    const profile = await profiles.find(name);
    const mandate = this.#mandate(old, profile, actor);
    const issued = await issuance.issue(mandate, csr, csrHash).catch(asRenewal);
    observe('answer');
    return { result: 'issued', issued };
  }

  #mandate(old: Renewable, profile: Profile, actor: string): Mandate {
    const { gateways, sightings, clock } = this.#parts;
    let retired: Change[] = [];
    return {
      device: old.device as DeviceId,
      fleet: old.fleet as FleetId,
      profile,
      source: 'renewal',
      actor,
      replaces: old.fingerprint,
      spend: async (write) => {
        judgeRenewable(await this.#find(write, old.fingerprint), clock.now());
        // To renew with it is to use it, whatever the doors have reported by now.
        await sightings.record(write, [{ fingerprint: old.fingerprint, atMs: clock.now() }]);
        retired = await this.#makeRoom(write, old, profile, actor);
      },
      spent: () => {
        for (const change of retired) gateways.announceLater(change);
      },
    };
  }

  /** Attempts whose answers were lost count as certificates: they make room for the one that will be answered. */
  async #makeRoom(write: Write, old: Renewable, profile: Profile, actor: string): Promise<Change[]> {
    const { retirement, clock } = this.#parts;
    const { device, fingerprint } = old;
    const { live } = await write
      .selectFrom('certificates')
      .select(({ fn }) => fn.countAll<number>().as('live'))
      .where('device', '=', device)
      .where('state', 'in', ['issued', 'held', 'reserved'])
      .where('not_after_ms', '>', clock.now())
      .executeTakeFirstOrThrow();
    const wanted = live + 1 - profile.document.maxCertificates;
    if (wanted <= 0) return [];
    const changes: Change[] = [];
    const lineage = await readLineage(write, { device, fingerprint });
    for (const kin of roomIn(lineage, fingerprint, wanted, clock.now())) {
      const change = await retirement.retire(write, kin, actor);
      if (change) changes.push(change);
    }
    return changes;
  }

  /** What was issued for the same CSR with the same certificate, as long as it is good. */
  async #answered(replaces: Fingerprint, csrHash: string): Promise<IssuedCertificate | undefined> {
    const { read, issuers, clock } = this.#parts;
    const { device } = await read
      .selectFrom('certificates')
      .select('device')
      .where('fingerprint', '=', replaces)
      .executeTakeFirstOrThrow();
    const row = await read
      .selectFrom('certificates')
      .selectAll()
      .where('device', '=', device)
      .where('replaces', '=', replaces)
      .where('csr_hash', '=', csrHash)
      .where('state', '=', 'issued')
      .where('not_after_ms', '>', clock.now())
      .orderBy('reserved_ms', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (!row || !issuers.ids.includes(row.issuer)) return undefined;
    return issuedAnswer(row as IssuedRow, issuers.find(row.issuer));
  }

  async #find(read: Kysely<Tables>, fingerprint: Fingerprint): Promise<Renewable> {
    const row = await read
      .selectFrom('certificates as c')
      .innerJoin('devices as d', 'd.id', 'c.device')
      .innerJoin('fleets as f', 'f.id', 'd.fleet')
      .innerJoin('issuers as i', 'i.id', 'c.issuer')
      .select([
        'c.state',
        'c.device',
        'd.state as deviceState',
        'f.id as fleet',
        'i.kind',
        'i.state as issuerState',
      ])
      .select(['c.not_before_ms as notBeforeMs', 'c.not_after_ms as notAfterMs'])
      .select(['c.renew_after_ms as renewAfterMs', 'f.grace_ms as graceMs', 'f.skew_ms as skewMs'])
      .where('c.fingerprint', '=', fingerprint)
      .executeTakeFirst();
    if (!row)
      throw new Fault(
        'unknown-certificate',
        'The registry does not know this certificate; enroll the device.',
      );
    return { fingerprint, ...row };
  }

  #count(device: string): void {
    const { allowed, retryAfterMs } = this.#limit.take(device, this.#parts.clock.now());
    if (!allowed) {
      throw new Fault(
        'rate-limited',
        'This device has renewed too often; send the same CSR again, or wait.',
        {
          retryAfterMs,
        },
      );
    }
  }
}

/** Faults `renewal-early`. A certificate outside its validity is good for nothing but renewal: it is never early. */
function judgeTime({ renewAfterMs, notBeforeMs, notAfterMs }: Renewable, nowMs: number): void {
  if (renewAfterMs === null || nowMs >= renewAfterMs || nowMs < notBeforeMs || nowMs > notAfterMs) return;
  const renewAfter = timestamp(renewAfterMs);
  throw new Fault('renewal-early', `This certificate is renewed from ${renewAfter} on.`, {
    retryAfterMs: renewAfterMs - nowMs,
    fields: { renewAfter },
  });
}

/** A renewal changes no name (RFC 7030, section 4.2.2): that it does has a word of its own. */
function asRenewal(thrown: unknown): never {
  const { kind, message } = Fault.of(thrown);
  if (kind !== 'csr-subject' && kind !== 'csr-san') throw thrown;
  throw new Fault('renewal-subject', `A renewal keeps the names of its certificate. ${message}`, {
    cause: thrown,
  });
}
