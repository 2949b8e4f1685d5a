/** The outcome of the corridor: the same question and the same answer on every door. */
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import type { Fault } from '#common/fault.ts';
import type { Peer } from '../door/peer.ts';
import type { Rights } from '../sessions/rights.ts';

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

/** Judges one arrival, writes the decision journal and counts it. Synchronous: a look-up and pure functions. */
export interface Corridor {
  /** `clientId` is null for HTTPS. */
  judge(protocol: Protocol, peer: Peer, clientId: string | null): Verdict;
  /** The rights of a live session after its entry has changed, or the fault that ends it. */
  reconsider(session: { peer: Peer; clientId: string | null }, entry: DirectoryEntry): Verdict;
  /** A refusal that came before or after the judgement: a deadline, a limit, a malformed CONNECT, a Will. */
  refuse(protocol: Protocol, peer: Peer, clientId: string | null, fault: Fault): void;
}
