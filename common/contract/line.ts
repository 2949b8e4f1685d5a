/**
 * The process line: what the registry asks of a gateway, and what a gateway asks of the registry.
 * A direct call when both run in one process; mTLS and JSON when they do not (docs/architecture.md).
 */
import type { LiveScope } from './bulk.ts';
import type { Change } from './change.ts';
import type { CommandOffer } from './command.ts';
import type { Decision, DecisionQuery, Outlook } from './decision.ts';
import type { Directory } from './directory.ts';
import type { AskRegistry } from './enrollment.ts';
import type { ClosedSession, SessionView } from './receipt.ts';

/** A gateway, as the registry sees it. Remote ones are behind their feed connection. */
export interface GatewayPeer {
  readonly name: string;
  /** Brings directory and live connections in line with the change; answers when the connections are closed. */
  apply(change: Change): Promise<ClosedSession[]>;
  sessions(device: string): Promise<SessionView[]>;
  /** How many live connections there are. */
  live(scope: LiveScope): Promise<number>;
  decisions(query: DecisionQuery): Promise<Decision[]>;
  /** What would come of each certificate of a device now. */
  outlook(device: string): Promise<Outlook[]>;
  /**
   * A command was committed: it goes to its device at once if that is here. Null: some may have been missed, so that the
   * gateway asks for everybody who listens. Nothing hangs on it but time: what is not delivered stays in the registry.
   * Resolves when it was heard.
   */
  offer(command: CommandOffer | null): Promise<void>;
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
  /** An OCSP answer about the current certificate, to be stapled (RFC 6066, section 8); null while there is none. */
  staple(): Buffer | null;
}

/** The registry, as a gateway sees it: the embedded one, or a replica that follows a remote one. */
export interface RegistryLine {
  readonly directory: Directory;
  /** Certificates for this gateway's doors, always current. */
  readonly doors: DoorCertificateSource;
  /** From now on the gateway hears of every change. Returns how to leave. */
  attach(gateway: GatewayPeer): () => void;
  /** Asks for a device at this gateway's doors. */
  readonly ask: AskRegistry;
}

/**
 * A line of `GET /v1/changes?gateway=NAME`, which a gateway holds open with its client certificate. Others, without
 * `gateway`, get bare Change documents. Heartbeats come every few seconds and say how far the feed has grown.
 */
export type FeedLine =
  | { readonly change: Change }
  | { readonly heartbeat: { readonly head: number } }
  | { readonly offer: CommandOffer | null }
  | { readonly question: Question };

/** Asked over the feed, answered by `POST /v1/gateways/{name}/answers` with the same id. */
export type Question =
  | { readonly id: string; readonly ask: 'sessions'; readonly device: string }
  | { readonly id: string; readonly ask: 'live'; readonly scope: LiveScope }
  | { readonly id: string; readonly ask: 'decisions'; readonly query: DecisionQuery }
  | { readonly id: string; readonly ask: 'outlook'; readonly device: string };

/** Body of `POST /v1/gateways/{name}/answers`. `applied` is sent for every change that has arrived. */
export type Answer =
  | { readonly applied: number; readonly closed: ClosedSession[] }
  | { readonly question: string; readonly sessions: SessionView[] }
  | { readonly question: string; readonly live: number }
  | { readonly question: string; readonly decisions: Decision[] }
  | { readonly question: string; readonly outlook: Outlook[] };

/** Body and answer of `POST /v1/gateways`: a gateway asks for the certificate of its doors, and renews it. */
export interface GatewayEnrollment {
  readonly name: string;
  /** PEM PKCS #10; only its public key is used. */
  readonly csr: string;
  /** DNS names and IP addresses for the server certificate. */
  readonly names: readonly string[];
}
export interface GatewayCertificate {
  readonly chain: string;
  readonly trust: string;
  /** RFC 3339. */
  readonly notAfter: string;
}
