/**
 * Introductions: a certificate of a foreign CA, shown at a gateway, becomes one that the registry knows: validated again,
 * mapped to a device, judged by the mode of its anchor, recorded. From then on it is one like any other.
 */
import type { Kysely } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import type { Fingerprint } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { mostOfChain } from '#common/x509/trusted-issuers.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { AnchorChains, Introduced } from './anchor-chain.ts';
import { judgeStanding } from './anchor-register.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { ForeignCrls } from './foreign-crls.ts';
import { admitForeignDevice, insertForeign, judgeForeign } from './foreign-record.ts';
import type { ForeignRevocation } from './foreign-revocation.ts';
import type { Gateways } from './gateways.ts';
import type { JitLimits } from './jit-limits.ts';
import type { OcspRefresh } from './ocsp-refresh.ts';
import type { Profiles } from './profiles.ts';

export interface IntroductionsParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  profiles: Profiles;
  chains: AnchorChains;
  refresh: Pick<OcspRefresh, 'now'>;
  crls: Pick<ForeignCrls, 'reasonOf'>;
  revocation: Pick<ForeignRevocation, 'list'>;
  limits: JitLimits;
  find: (fingerprint: Fingerprint) => DirectoryEntry | undefined;
  clock: Clock;
}

/** Most that are under way at once, over all gateways. */
const mostUnderWay = 1000;
/** Base64 of one certificate of 64 KiB. */
const longestText = 90_000;

export class Introductions {
  readonly #parts: IntroductionsParts;
  #underWay = 0;

  constructor(parts: IntroductionsParts) {
    this.#parts = parts;
  }

  /**
   * `chain` is leaf first, base64 of DER. One that is known is answered as it is. Faults as AnchorChains does,
   * `enrollment-only`, `unknown-certificate`, `csr-key-reused`, `conflict`, `device-revoked`, `device-disabled`,
   * `too-many-certificates`, `quota-exceeded`, `rate-limited`, `issuer-not-trusted`, `unavailable`.
   */
  async introduce(chain: readonly string[], gateway: string): Promise<DirectoryEntry> {
    const ders = readAsk(chain);
    if (this.#underWay >= mostUnderWay) throw busy();
    this.#underWay += 1;
    try {
      return (await this.#known(fingerprintOf(ders[0]!))) ?? (await this.#record(ders, gateway));
    } finally {
      this.#underWay -= 1;
    }
  }

  /** Of one whose state has to be asked for again, it is. */
  async #known(fingerprint: Fingerprint): Promise<DirectoryEntry | undefined> {
    const { find, refresh, clock } = this.#parts;
    const entry = find(fingerprint);
    const untilMs = entry?.certificateState === 'issued' ? entry.statusUntilMs : null;
    if (untilMs === null || untilMs >= clock.now()) return entry;
    await refresh.now(fingerprint);
    return find(fingerprint);
  }

  async #record(chain: readonly Buffer[], gateway: string): Promise<DirectoryEntry> {
    const { chains, limits, writer, gateways, crls, revocation, find } = this.#parts;
    const found = await chains.read(chain);
    const { anchor, leaf } = found;
    if (anchor.mode === 'enroll-only') throw enrollmentOnly();
    const maxCertificates = await this.#room(anchor.fleet);
    if (anchor.mode === 'jit') await limits.prepare(anchor.id);
    const done = await writer.write((write) => this.#write(write, found, maxCertificates, gateway));
    // Two gateways at once: the second finds it done.
    if (!done) return find(fingerprintOf(leaf.der)) ?? Promise.reject(busy());
    if (done.isNew) limits.counted(anchor.id);
    gateways.announceLater(done.change);
    // A CRL that came while it was being recorded has not seen it.
    const reason = crls.reasonOf(anchor.id, found.steps);
    if (reason) await revocation.list(anchor.id, fingerprintOf(leaf.der), reason);
    return (reason && find(fingerprintOf(leaf.der))) || done.change.entries[0]!;
  }

  async #write(write: Write, found: Introduced, maxCertificates: number, gateway: string) {
    const { audit, feed, limits, clock } = this.#parts;
    const { anchor, device, leaf } = found;
    const nowMs = clock.now();
    const fingerprint = fingerprintOf(leaf.der);
    await judgeStanding(write, anchor.id);
    if (!(await judgeForeign(write, found, maxCertificates, nowMs))) return null;
    const isNew = await admitForeignDevice(write, found, nowMs, () => limits.judge(anchor.id));
    await insertForeign(write, found, nowMs);
    const actor = `gateway:${gateway}`;
    const { fleet } = anchor;
    const after = { fingerprint, serialNumber: leaf.serialNumber, issuer: anchor.id, fleet };
    const detail = { isNew, before: null, after };
    await audit.append(write, { actor, action: 'certificate.introduce', target: device, detail });
    return {
      isNew,
      change: await feed.append(write, { kind: 'certificate-issued', fleet, device, fingerprint }),
    };
  }

  /** Most certificates of a device that are good at once, as the profile of its fleet says. */
  async #room(fleet: string): Promise<number> {
    const { read, profiles } = this.#parts;
    const { profile } = await read
      .selectFrom('fleets')
      .select('profile')
      .where('id', '=', fleet)
      .executeTakeFirstOrThrow();
    return (await profiles.find(profile)).document.maxCertificates;
  }
}

function readAsk(chain: unknown): Buffer[] {
  const isFit =
    Array.isArray(chain) &&
    chain.length > 0 &&
    chain.length <= mostOfChain &&
    chain.every((each) => typeof each === 'string' && each.length <= longestText);
  if (!isFit) throw new Fault('malformed', 'A chain is 1 to 17 certificates, in base64 of DER, leaf first.');
  return chain.map((each) => Buffer.from(each, 'base64'));
}

const busy = () =>
  new Fault('unavailable', 'Too many devices are being introduced at the moment; try again.', {
    retryAfterMs: 2000,
  });

const enrollmentOnly = () =>
  new Fault(
    'enrollment-only',
    'This certificate is good for fetching an operational one, and for nothing else.',
  );
