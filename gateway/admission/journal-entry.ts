/** What the journal keeps of one decision: the facts, not the words. */
import type { Protocol } from '#common/contract/receipt.ts';
import type { FaultKind } from '#common/fault.ts';
import type { HandshakeFailure } from '../door/handshake-failure.ts';
import type { Arrival } from './admit.ts';

export type JournalEntry = ArrivalEntry | FailureEntry | TurnedAwayEntry;

/** Somebody whose handshake was done. */
export interface ArrivalEntry {
  readonly what: 'arrival';
  readonly timeMs: number;
  readonly protocol: Protocol;
  readonly arrival: Arrival;
  /** Null when admitted. */
  readonly reason: FaultKind | null;
  /** Set when it was refused for something that the checks of admission do not know: a deadline, a Will. */
  readonly beyond: string | null;
  /** DER of the certificate of one that was refused; null when none was shown, or it is too large to be kept. */
  readonly leaf: Buffer | null;
}

export interface FailureEntry {
  readonly what: 'failure';
  readonly timeMs: number;
  readonly protocol: Protocol;
  readonly failure: HandshakeFailure;
}

/** All that were ended before TLS within a second for one reason. */
export interface TurnedAwayEntry {
  readonly what: 'turned-away';
  /** When the last of them came. */
  timeMs: number;
  readonly protocol: Protocol;
  readonly reason: FaultKind;
  count: number;
  /** How many from each neighbourhood, for the first of them. */
  readonly addresses: Map<string, number>;
}

/** Neighbourhoods that one entry counts apart. */
export const mostAddresses = 64;
