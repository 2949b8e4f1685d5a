/** One decision at the door: who came, what was checked, what came of it. Kept by gateways in a bounded journal. */
import type { FaultKind } from '../fault.ts';
import type { Protocol } from './receipt.ts';

export interface DecisionCheck {
  readonly name: string;
  readonly passed: boolean;
  /** What was seen, for a person: never a secret. */
  readonly detail: string;
}

export interface Decision {
  /** RFC 3339. */
  readonly time: string;
  readonly gateway: string;
  readonly protocol: Protocol;
  readonly address: string;
  /** Null when no certificate was shown, or none that the directory knows. */
  readonly device: string | null;
  readonly fingerprint: string | null;
  readonly clientId: string | null;
  readonly admitted: boolean;
  readonly reason: FaultKind | null;
  readonly checks: readonly DecisionCheck[];
}

export interface DecisionQuery {
  device?: string;
  fingerprint?: string;
  reason?: string;
  /** At most this many, newest first; 100 when absent. */
  limit?: number;
}
