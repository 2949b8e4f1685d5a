/** Faults in MQTT's words: one total table, four columns. The reason string of MQTT 5 carries the sentence itself. */
import type { FaultKind } from '#common/fault.ts';

interface Words {
  /** CONNACK return code of 3.1.1 (section 3.2.2.3). */
  readonly connack4: number;
  /** CONNACK reason code of 5 (section 3.2.2.2). */
  readonly connack5: number;
  /** PUBACK and PUBREC reason code of 5 (section 3.4.2.1). */
  readonly puback5: number;
  /** DISCONNECT reason code of 5 (section 3.14.2.1). */
  readonly disconnect5: number;
}

const words = (connack4: number, connack5: number, puback5: number, disconnect5: number): Words => ({
  connack4,
  connack5,
  puback5,
  disconnect5,
});

const notAuthorized = words(5, 0x87, 0x87, 0x87);
const banned = words(5, 0x8a, 0x87, 0x98);
const broken = words(5, 0x82, 0x83, 0x82);
const unspecified = words(3, 0x80, 0x80, 0x80);
const busy = words(3, 0x89, 0x97, 0x89);
const quota = words(3, 0x97, 0x97, 0x97);
const tryLater = words(3, 0x88, 0x80, 0x89);

export const refusals = {
  malformed: words(5, 0x81, 0x99, 0x81),
  unauthenticated: notAuthorized,
  forbidden: notAuthorized,
  'not-found': unspecified,
  'method-not-allowed': unspecified,
  conflict: notAuthorized,
  'too-large': words(5, 0x95, 0x80, 0x95),
  'unsupported-media-type': words(5, 0x99, 0x99, 0x99),
  'rate-limited': words(3, 0x9f, 0x97, 0x96),
  unavailable: tryLater,
  timeout: unspecified,
  internal: unspecified,
  'no-certificate': notAuthorized,
  'untrusted-certificate': notAuthorized,
  'unknown-certificate': notAuthorized,
  'certificate-malformed': notAuthorized,
  'leaf-profile': notAuthorized,
  'certificate-expired': notAuthorized,
  'certificate-not-yet-valid': notAuthorized,
  'certificate-revoked': banned,
  'certificate-held': banned,
  'issuer-not-trusted': notAuthorized,
  'revocation-unknown': tryLater,
  'renewal-only': notAuthorized,
  'enrollment-only': notAuthorized,
  'device-pending': tryLater,
  'device-disabled': banned,
  'device-revoked': banned,
  'directory-stale': tryLater,
  'client-id-mismatch': words(2, 0x85, 0x87, 0x87),
  'protocol-version': words(1, 0x84, 0x83, 0x82),
  'protocol-error': broken,
  'malformed-packet': words(5, 0x81, 0x80, 0x81),
  'packet-too-large': words(5, 0x95, 0x80, 0x95),
  'connect-timeout': unspecified,
  'keep-alive-timeout': words(5, 0x8d, 0x80, 0x8d),
  'connection-limit': busy,
  'connection-rate': words(3, 0x9f, 0x97, 0x9f),
  'proxy-header': broken,
  'handshake-failed': notAuthorized,
  flapping: words(5, 0x8a, 0x97, 0x98),
  quarantined: banned,
  'will-not-allowed': words(5, 0x87, 0x87, 0x87),
  'topic-invalid': words(5, 0x90, 0x90, 0x90),
  'topic-alias': words(5, 0x82, 0x80, 0x94),
  'topic-not-allowed': notAuthorized,
  'receive-maximum': words(3, 0x93, 0x97, 0x93),
  'quota-exceeded': quota,
  'message-rate': words(3, 0x97, 0x97, 0x96),
  'spool-full': quota,
  'taken-over': words(3, 0x80, 0x80, 0x8e),
  'shutting-down': words(3, 0x88, 0x80, 0x8b),
  'command-expired': unspecified,
  'command-unanswered': unspecified,
  'token-invalid': notAuthorized,
  'token-expired': notAuthorized,
  'token-spent': notAuthorized,
  'token-scope': notAuthorized,
  'claim-invalid': notAuthorized,
  'approval-pending': tryLater,
  'approval-denied': notAuthorized,
  'renewal-early': words(3, 0x97, 0x97, 0x97),
  'renewal-subject': unspecified,
  'too-many-certificates': quota,
  'anchor-possession': unspecified,
  'mapping-failed': notAuthorized,
  'csr-malformed': unspecified,
  'csr-too-large': unspecified,
  'csr-signature': unspecified,
  'csr-key-type': unspecified,
  'csr-key-weak': unspecified,
  'csr-key-reused': notAuthorized,
  'csr-subject': unspecified,
  'csr-san': unspecified,
  'csr-usage': unspecified,
  'csr-ca-requested': unspecified,
} as const satisfies Record<FaultKind, Words>;
