/** One decision at the door: who came, what was checked, what came of it. Kept by gateways in a bounded journal. */
import type { FaultKind } from '../fault.ts';
import type { Protocol } from './receipt.ts';

export interface DecisionCheck {
  readonly name: string;
  readonly passed: boolean;
  /** What was seen, for a person: never a secret. */
  readonly detail: string;
}

/** A certificate as it is written, for a person to recognise it by; nothing is decided on it. */
export interface Leaf {
  readonly subject: string;
  readonly issuer: string;
  /** Lower-case hex, as in the directory. */
  readonly serialNumber: string;
  /** RFC 3339. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** Alternative names, with their type: `URI:spiffe://…`, `DNS:…`. */
  readonly names: readonly string[];
}

export interface Decision {
  /** RFC 3339; of several, of the last. */
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
  /** Why, and what to do next; null when admitted. */
  readonly message: string | null;
  /** How many it stands for: connections over a limit are counted by the second. */
  readonly count: number;
  /** The certificate that was shown by one that was refused; null when none was, or it cannot be read. */
  readonly leaf: Leaf | null;
  /** Why it cannot be read, and where. */
  readonly leafProblem: string | null;
  readonly checks: readonly DecisionCheck[];
}

export interface DecisionQuery {
  device?: string;
  fingerprint?: string;
  /** IP address, or IP address and port as one word. */
  address?: string;
  /** Serial number, lower-case hex. */
  serial?: string;
  reason?: string;
  /** At most this many, newest first; 100 when absent. */
  limit?: number;
}

/** What would come of a certificate of a device if it came in now, by MQTT and under the device's own client id. */
export interface Outlook {
  readonly gateway: string;
  readonly fingerprint: string;
  readonly serialNumber: string;
  readonly notAfter: string;
  readonly admitted: boolean;
  readonly reason: FaultKind | null;
  readonly message: string | null;
  readonly checks: readonly DecisionCheck[];
}
