/** The outcome of the corridor: the same question and the same answer on every door. */
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import type { Fault, FaultKind } from '#common/fault.ts';
import type { HandshakeFailure } from '../door/handshake-failure.ts';
import type { Handshake, Peer } from '../door/peer.ts';
import type { Rights } from '../sessions/rights.ts';
import type { Finding } from './finding.ts';

export type Verdict = Admitted | Refused;

export interface Admitted {
  readonly admitted: true;
  readonly entry: DirectoryEntry;
  readonly rights: Rights;
}

export interface Refused {
  readonly admitted: false;
  readonly fault: Fault;
  /** Known even when refused, if the certificate is. */
  readonly entry: DirectoryEntry | undefined;
  /** What its role would have granted. */
  readonly rights: Rights | undefined;
}

/** Judges one arrival, writes the decision journal and counts it. */
export interface Corridor {
  /** Whether it can be judged at once; if not, what is to be known of it must be found out before. */
  isKnown(peer: Peer): boolean;
  /** `chain` as shown, leaf first, DER. Takes a while: ask afterwards whether the peer is still there. Never rejects. */
  findOut(peer: Peer, chain: readonly Buffer[]): Promise<Finding>;
  /** Synchronous: a look-up and pure functions. `clientId` is null for HTTPS. */
  judge(
    protocol: Protocol,
    peer: Peer,
    clientId: string | null,
    handshake: Handshake,
    finding?: Finding,
  ): Verdict;
  /** The rights of a live session after its entry has changed, or the fault that ends it. */
  reconsider(session: { peer: Peer; clientId: string | null }, entry: DirectoryEntry): Verdict;
  /** A refusal that came before or after the judgement: a deadline, a limit, a malformed CONNECT, a Will. */
  refuse(
    protocol: Protocol,
    peer: Peer,
    clientId: string | null,
    handshake: Handshake | null,
    fault: Fault,
  ): void;
  /** A handshake that came to nothing: written down, nothing else. */
  failed(protocol: Protocol, failure: HandshakeFailure): void;
  /** Ended before TLS for a limit: counted and written down. */
  turnedAway(protocol: Protocol, address: string, reason: FaultKind): void;
}
