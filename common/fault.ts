/**
 * A Fault is a refusal that somebody has to understand: a device, an operator or a dashboard.
 * Its kind is one word out of a closed list, and that word is the same in HTTP problem documents, MQTT reason
 * strings, logs, metrics, the decision journal and the audit. Each door translates kinds by a total table of its own.
 */

/** Every reason for which Fleetgate refuses anything. Add here, and the compiler names every table to extend. */
export const faultKinds = [
  // anybody
  'malformed',
  'unauthenticated',
  'forbidden',
  'not-found',
  'method-not-allowed',
  'conflict',
  'too-large',
  'unsupported-media-type',
  'rate-limited',
  'unavailable',
  'timeout',
  'internal',
  // who is at the door
  'no-certificate',
  'untrusted-certificate',
  'unknown-certificate',
  'certificate-malformed',
  'leaf-profile',
  'certificate-expired',
  'certificate-not-yet-valid',
  'certificate-revoked',
  'certificate-held',
  'issuer-not-trusted',
  'revocation-unknown',
  'renewal-only',
  'enrollment-only',
  'device-pending',
  'device-disabled',
  'device-revoked',
  'directory-stale',
  'client-id-mismatch',
  // how it behaves there
  'protocol-version',
  'protocol-error',
  'malformed-packet',
  'packet-too-large',
  'connect-timeout',
  'keep-alive-timeout',
  'connection-limit',
  'connection-rate',
  'proxy-header',
  'handshake-failed',
  'flapping',
  'quarantined',
  'will-not-allowed',
  'topic-invalid',
  'topic-alias',
  'topic-not-allowed',
  'receive-maximum',
  'quota-exceeded',
  'message-rate',
  'spool-full',
  'taken-over',
  'shutting-down',
  // commands
  'command-expired',
  'command-unanswered',
  // enrollment tokens
  'token-invalid',
  'token-expired',
  'token-spent',
  'token-scope',
  'claim-invalid',
  // enrollment and renewal
  'approval-pending',
  'approval-denied',
  'renewal-early',
  'renewal-subject',
  'too-many-certificates',
  'anchor-possession',
  'mapping-failed',
  // certificate signing requests
  'csr-malformed',
  'csr-too-large',
  'csr-signature',
  'csr-key-type',
  'csr-key-weak',
  'csr-key-reused',
  'csr-subject',
  'csr-san',
  'csr-usage',
  'csr-ca-requested',
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface FaultOptions {
  /** When trying again may help, in milliseconds from now. */
  retryAfterMs?: number;
  /** Facts for the log and the problem document; never secrets. */
  fields?: Record<string, unknown>;
  cause?: unknown;
}

/** A refusal with a kind and a sentence that says what to do next. Safe to show to the peer. */
export class Fault extends Error {
  readonly kind: FaultKind;
  readonly retryAfterMs: number | undefined;
  readonly fields: Record<string, unknown>;

  constructor(kind: FaultKind, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Fault';
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
    this.fields = options.fields ?? {};
  }

  /** Any thrown value as a Fault: an unlisted error becomes `internal`, and its text stays in `cause` for the log. */
  static of(thrown: unknown): Fault {
    if (thrown instanceof Fault) return thrown;
    return new Fault('internal', 'Something went wrong inside Fleetgate; its log says what.', {
      cause: thrown,
    });
  }
}
