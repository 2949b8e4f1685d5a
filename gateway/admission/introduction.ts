/**
 * Makes certificates of foreign CAs known: validates the chain that was shown, and asks the registry for those whose path
 * holds, so that whoever has none never reaches it. What becomes of a certificate that is known, admission judges.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '#common/clock.ts';
import type { Directory, DirectoryEntry, IssuerEntry } from '#common/contract/directory.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { Fault, type FaultKind } from '#common/fault.ts';
import { RateLimiter } from '#common/gcra.ts';
import type { Fingerprint } from '#common/identity.ts';
import { TrustedIssuers } from '#common/x509/trusted-issuers.ts';
import { neighbourhood } from '../door/connect-limits.ts';
import type { Peer } from '../door/peer.ts';
import { hostOf } from '../door/read-peer.ts';
import type { LimitSettings } from '../settings.ts';
import type { Finding } from './finding.ts';

export interface IntroductionParts {
  directory: Directory;
  ask: AskRegistry;
  limits: Pick<LimitSettings, 'maxIntroductions' | 'introductionTimeout' | 'strangersPerAddress'>;
  clock: Clock;
}

/** A refused certificate that comes again within this gets the same answer, without being looked at. */
const refusedMs = 5_000;
const mostRefused = 10_000;
const burstSeconds = 2;

/** Refusals that may be over a moment later are not remembered. */
const passing: ReadonlySet<FaultKind> = new Set([
  'unavailable',
  'timeout',
  'internal',
  'rate-limited',
  'connection-rate',
  'connection-limit',
  'revocation-unknown',
]);

export class Introduction {
  readonly #parts: IntroductionParts;
  readonly #issuers: TrustedIssuers<IssuerEntry>;
  readonly #underWay = new Map<Fingerprint, Promise<Finding>>();
  readonly #refused: LRUCache<Fingerprint, { finding: Finding; untilMs: number; trusted: string }>;
  readonly #rate: RateLimiter;
  #asking = 0;

  constructor(parts: IntroductionParts) {
    this.#parts = parts;
    this.#issuers = new TrustedIssuers(() => parts.directory.issuers());
    this.#refused = new LRUCache({ max: mostRefused });
    const { strangersPerAddress: perSecond } = parts.limits;
    this.#rate = new RateLimiter({ perSecond, burst: perSecond * burstSeconds });
  }

  /** Whether nothing has to be found out: none was shown, or the directory has a word on it that is still good. */
  isKnown({ fingerprint }: Peer, entry: DirectoryEntry | undefined): boolean {
    if (fingerprint === null) return true;
    return entry !== undefined && !this.#isLapsed(entry);
  }

  /** Of a foreign certificate whose state was asked for by itself: the registry asks again when it comes. */
  #isLapsed({ statusUntilMs, certificateState }: DirectoryEntry): boolean {
    return statusUntilMs !== null && statusUntilMs < this.#parts.clock.now() && certificateState === 'issued';
  }

  /** `chain` is leaf first, DER. Never rejects: a registry that is away is a finding too. */
  async find(peer: Peer, chain: readonly Buffer[]): Promise<Finding> {
    const { fingerprint } = peer;
    const leaf = chain[0];
    if (fingerprint === null || leaf === undefined) return nothingShown;
    const known = this.#parts.directory.find(fingerprint);
    if (!known && peer.resumed) return resumedUnknown;
    const before = this.#remembered(fingerprint);
    if (before) return before;
    const underWay = this.#underWay.get(fingerprint);
    if (underWay) return underWay;
    const finding = this.#findAnew(peer, fingerprint, known ? [leaf] : chain, known !== undefined);
    this.#underWay.set(fingerprint, finding);
    return finding.finally(() => this.#underWay.delete(fingerprint));
  }

  async #findAnew(
    peer: Peer,
    fingerprint: Fingerprint,
    chain: readonly Buffer[],
    isKnown: boolean,
  ): Promise<Finding> {
    const finding = this.#tooOften(peer) ?? (isKnown ? lapsed : this.#judgePath(chain));
    const isOver = finding.pathFault !== null || finding.fault !== null;
    const answered = isOver ? finding : await this.#introduce(finding, chain);
    const fault = answered.pathFault ?? answered.fault;
    if (fault && !passing.has(fault.kind)) this.#remember(fingerprint, answered);
    return answered;
  }

  #tooOften({ address }: Peer): Finding | null {
    const { clock } = this.#parts;
    const { allowed, retryAfterMs } = this.#rate.take(neighbourhood(hostOf(address)), clock.elapsed());
    if (allowed) return null;
    const words = 'Too many unknown certificates come from this address; slow down.';
    return unread(new Fault('connection-rate', words, { retryAfterMs }));
  }

  #judgePath(chain: readonly Buffer[]): Finding {
    const outcome = this.#issuers.validate(chain, this.#parts.clock.now());
    if (!outcome.trusted) return unread(outcome.fault);
    const { issuer, path } = outcome;
    const found = { ...lapsed, path: `of ${issuer.id}, ${path.length} certificates` };
    if (issuer.kind === 'own') return { ...found, fault: notRecorded() };
    if (issuer.mode === 'enroll-only') return { ...found, fault: enrollmentOnly() };
    return found;
  }

  async #introduce(finding: Finding, chain: readonly Buffer[]): Promise<Finding> {
    const { ask, clock, limits } = this.#parts;
    if (this.#asking >= limits.maxIntroductions) return { ...finding, fault: busy() };
    this.#asking += 1;
    const patience = new AbortController();
    const asked = ask('introduce', { chain: chain.map((der) => der.toString('base64')) });
    try {
      const late = clock.sleep(limits.introductionTimeout, patience.signal).then(() => null);
      const entry = await Promise.race([asked, late]);
      if (entry === null) throw new Fault('unavailable', 'The registry does not answer in time; try again.');
      return { ...finding, introduction: `recorded for ${entry.fleet}/${entry.device}`, entry };
    } catch (thrown) {
      const fault = Fault.of(thrown);
      return { ...finding, introduction: fault.message, fault };
    } finally {
      this.#asking -= 1;
      patience.abort();
      // When nobody waits any more, what comes late is nobody's.
      asked.catch(() => {});
    }
  }

  #remembered(fingerprint: Fingerprint): Finding | undefined {
    const known = this.#refused.get(fingerprint);
    if (!known || known.untilMs < this.#parts.clock.elapsed() || known.trusted !== this.#trusted())
      return undefined;
    return known.finding;
  }

  #remember(fingerprint: Fingerprint, finding: Finding): void {
    const untilMs = this.#parts.clock.elapsed() + refusedMs;
    this.#refused.set(fingerprint, { finding, untilMs, trusted: this.#trusted() });
  }

  /** Who is trusted, as a word: what was refused before an anchor came is looked at again. */
  #trusted(): string {
    return this.#parts.directory
      .issuers()
      .map(({ id, mode }) => `${id}/${mode}`)
      .join();
  }
}

/** A finding before anything was found; of a certificate that is recorded, the path was found long ago. */
const lapsed: Finding = {
  path: 'recorded, to be asked for again',
  pathFault: null,
  introduction: null,
  fault: null,
  entry: undefined,
};
const unread = (pathFault: Fault): Finding => ({ ...lapsed, path: pathFault.message, pathFault });

const notRecorded = () =>
  new Fault('unknown-certificate', 'The registry does not know this certificate; enroll the device.');
const enrollmentOnly = () =>
  new Fault(
    'enrollment-only',
    'This certificate is good for fetching an operational one, and for nothing else; enroll the device with it.',
  );
const busy = () =>
  new Fault('unavailable', 'Too many devices are being introduced at the moment; try again.', {
    retryAfterMs: 2000,
  });

const nothingShown = unread(
  new Fault('no-certificate', 'Connect with the client certificate of the device; none was shown.'),
);
const resumedUnknown = unread(
  new Fault(
    'unknown-certificate',
    'This session was resumed, and its certificate is not known; connect anew.',
  ),
);
