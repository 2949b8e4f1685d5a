/** The corridor that every arrival walks, whatever the door: look up, judge, count, write down. */
import type { Clock } from '#common/clock.ts';
import type { Directory, DirectoryEntry, FleetTerms } from '#common/contract/directory.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import { renewalRole } from '#common/contract/role-defaults.ts';
import type { Fault, FaultKind } from '#common/fault.ts';
import type { Fingerprint } from '#common/identity.ts';
import type { Metrics } from '#common/metrics.ts';
import { type HandshakeFailure, maxLeaf } from '../door/handshake-failure.ts';
import type { Handshake, Peer } from '../door/peer.ts';
import { type Arrival, refusalOf, scopeOf } from './admit.ts';
import type { Finding } from './finding.ts';
import type { Introduction } from './introduction.ts';
import type { Journal } from './journal.ts';
import { rightsOf } from './role.ts';
import type { Admitted, Corridor, Refused, Verdict } from './verdict.ts';

export interface DirectoryCorridorOptions {
  directory: Directory;
  introduction: Introduction;
  journal: Journal;
  metrics: Metrics;
  clock: Clock;
  /** Told of every certificate that is admitted. */
  saw: (fingerprint: Fingerprint, nowMs: number) => void;
  /** Who could come in otherwise: why it may not now, for how it behaves; null for nothing. */
  conduct?: ((entry: DirectoryEntry) => Fault | null) | null;
  /** Age of the directory beyond which nobody is admitted. */
  maxLagMs: number;
}

export class DirectoryCorridor implements Corridor {
  readonly #options: DirectoryCorridorOptions;

  constructor(options: DirectoryCorridorOptions) {
    this.#options = options;
  }

  isKnown(peer: Peer): boolean {
    return this.#options.introduction.isKnown(peer, this.#entry(peer));
  }

  findOut(peer: Peer, chain: readonly Buffer[]): Promise<Finding> {
    return this.#options.introduction.find(peer, chain);
  }

  judge(
    protocol: Protocol,
    peer: Peer,
    clientId: string | null,
    handshake: Handshake,
    finding?: Finding,
  ): Verdict {
    const { journal, metrics, clock, saw, conduct } = this.#options;
    // A finding that is older than what the feed has brought since is not heard.
    const entry = fresher(this.#entry(peer), finding?.entry);
    const found = this.#verdict(peer, entry, clientId, finding);
    const beyond = found.admitted && conduct && protocol !== 'https' ? conduct(found.entry) : null;
    const verdict = beyond ? { ...found, admitted: false as const, fault: beyond } : found;
    const reason = verdict.admitted ? null : verdict.fault.kind;
    const nowMs = clock.now();
    const leaf = verdict.admitted ? null : leafOf(handshake);
    const { arrival } = verdict;
    const aside = beyond?.message ?? null;
    journal.add({ what: 'arrival', timeMs: nowMs, protocol, arrival, reason, beyond: aside, leaf });
    const result = verdict.admitted ? 'admitted' : 'refused';
    metrics.connectsTotal.inc({ protocol, result, reason: reason ?? 'none' });
    if (verdict.admitted) {
      metrics.certificateRemainingSeconds.observe((verdict.entry.notAfterMs - nowMs) / 1000);
      saw(verdict.entry.fingerprint, nowMs);
    }
    return verdict;
  }

  reconsider(session: { peer: Peer; clientId: string | null }, entry: DirectoryEntry): Verdict {
    return this.#verdict(session.peer, entry, session.clientId, undefined);
  }

  #entry({ fingerprint }: Peer): DirectoryEntry | undefined {
    return fingerprint === null ? undefined : this.#options.directory.find(fingerprint);
  }

  refuse(
    protocol: Protocol,
    peer: Peer,
    clientId: string | null,
    handshake: Handshake | null,
    fault: Fault,
  ): void {
    const { journal, metrics, clock } = this.#options;
    const entry = this.#entry(peer);
    const terms = entry && this.#options.directory.fleet(entry.fleet);
    const arrival = this.#arrival(peer, entry, terms, clientId, false, undefined);
    const [timeMs, leaf] = [clock.now(), handshake && leafOf(handshake)];
    const { kind: reason, message: beyond } = fault;
    journal.add({ what: 'arrival', timeMs, protocol, arrival, reason, beyond, leaf });
    metrics.connectsTotal.inc({ protocol, result: 'refused', reason: fault.kind });
  }

  failed(protocol: Protocol, failure: HandshakeFailure): void {
    const { journal, clock } = this.#options;
    journal.addFailure({ what: 'failure', timeMs: clock.now(), protocol, failure });
  }

  turnedAway(protocol: Protocol, address: string, reason: FaultKind): void {
    const { journal, metrics, clock } = this.#options;
    journal.addTurnedAway(clock.now(), protocol, reason, address);
    metrics.connectsTotal.inc({ protocol, result: 'refused', reason });
  }

  #verdict(
    peer: Peer,
    entry: DirectoryEntry | undefined,
    clientId: string | null,
    finding: Finding | undefined,
  ): (Admitted | Refused) & { arrival: Arrival } {
    const { directory } = this.#options;
    const terms = entry && directory.fleet(entry.fleet);
    const rights = entry && rightsOf(directory.role(entry.role), entry, terms);
    const arrival = this.#arrival(peer, entry, terms, clientId, rights?.severalSessions ?? false, finding);
    const fault = refusalOf(arrival);
    if (fault || !entry || !rights) return { admitted: false, fault: fault!, entry, rights, arrival };
    if (scopeOf(arrival) === 'renewal')
      return { admitted: true, entry, rights: rightsOf(renewalRole, entry, terms), arrival };
    return { admitted: true, entry, rights, arrival };
  }

  #arrival(
    peer: Peer,
    entry: DirectoryEntry | undefined,
    terms: FleetTerms | undefined,
    clientId: string | null,
    severalSessions: boolean,
    finding: Finding | undefined,
  ): Arrival {
    const { directory, clock, maxLagMs } = this.#options;
    return {
      peer,
      entry,
      finding,
      issuer: entry && directory.issuer(entry.issuer),
      terms,
      clientId,
      severalSessions,
      lagMs: directory.lagMs(),
      maxLagMs,
      nowMs: clock.now(),
    };
  }
}

/** For the journal, unless it is too large to be kept. */
function leafOf(handshake: Handshake): Buffer | null {
  const leaf = handshake.getPeerX509Certificate()?.raw ?? null;
  return leaf && leaf.length <= maxLeaf ? leaf : null;
}

/** The directory's word, unless the registry has just looked at the certificate again and the feed lags behind. */
function fresher(
  known: DirectoryEntry | undefined,
  found: DirectoryEntry | undefined,
): DirectoryEntry | undefined {
  if (!known || !found) return known ?? found;
  return (found.statusUntilMs ?? 0) > (known.statusUntilMs ?? 0) && known.certificateState === 'issued'
    ? found
    : known;
}
