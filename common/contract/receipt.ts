/** What a revocation or a disabling answers: which certificates, which connections ended, and how fast. */
import type { Fingerprint } from '../identity.ts';

export const protocols = ['mqtt', 'mqtt5', 'https'] as const;
export type Protocol = (typeof protocols)[number];

export interface ClosedSession {
  readonly protocol: Protocol;
  /** Name of the gateway that held it. */
  readonly gateway: string;
  /** The device's address and port. */
  readonly address: string;
  /** From the registry's commit to the socket's end, milliseconds. */
  readonly closedAfterMs: number;
}

export interface Receipt {
  readonly changeId: number;
  readonly certificates: readonly Fingerprint[];
  readonly sessions: readonly ClosedSession[];
  /** True when every gateway that follows the feed has answered in time. */
  readonly complete: boolean;
}

/** A live connection, as the operator sees it. */
export interface SessionView {
  readonly protocol: Protocol;
  readonly gateway: string;
  readonly address: string;
  readonly clientId: string;
  readonly fingerprint: Fingerprint;
  /** RFC 3339. */
  readonly connectedAt: string;
}
