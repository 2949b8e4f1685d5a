/**
 * The process line: what the registry asks of a gateway, and what a gateway asks of the registry.
 * A direct call when both run in one process; mTLS and JSON when they do not (docs/architecture.md).
 */
import type { Change } from './change.ts';
import type { Decision, DecisionQuery } from './decision.ts';
import type { ClosedSession, SessionView } from './receipt.ts';

/** A gateway, as the registry sees it. Remote ones are behind their feed connection. */
export interface GatewayPeer {
  readonly name: string;
  /** Brings directory and live connections in line with the change; answers when the connections are closed. */
  apply(change: Change): Promise<ClosedSession[]>;
  sessions(device: string): Promise<SessionView[]>;
  decisions(query: DecisionQuery): Promise<Decision[]>;
}

/** A certificate for the doors of a gateway or of the registry, with the key that belongs to it. PEM. */
export interface DoorCertificate {
  /** Leaf, then intermediates. */
  readonly chain: string;
  readonly key: string;
  /** Every anchor and intermediate a device may be verified with. */
  readonly trust: string;
  readonly notAfterMs: number;
}

/** Gives the current door certificate, and calls back whenever a newer one should be used. */
export interface DoorCertificateSource {
  readonly current: DoorCertificate;
  /** Returns how to stop listening. */
  onRenewed(use: (certificate: DoorCertificate) => void): () => void;
}
