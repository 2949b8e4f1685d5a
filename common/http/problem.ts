/** Faults in HTTP's words: RFC 9457 problem documents, with the fault's kind as the stable `code`. */
import type { Fault, FaultKind } from '../fault.ts';

/** HTTP status of every kind of fault. */
export const httpStatus = {
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  conflict: 409,
  'too-large': 413,
  'unsupported-media-type': 415,
  'rate-limited': 429,
  unavailable: 503,
  timeout: 504,
  internal: 500,
  'no-certificate': 401,
  'untrusted-certificate': 401,
  'unknown-certificate': 401,
  'certificate-malformed': 400,
  'leaf-profile': 401,
  'certificate-expired': 401,
  'certificate-not-yet-valid': 401,
  'certificate-revoked': 403,
  'certificate-held': 403,
  'issuer-not-trusted': 403,
  'revocation-unknown': 503,
  'renewal-only': 403,
  'enrollment-only': 403,
  'device-pending': 403,
  'device-disabled': 403,
  'device-revoked': 403,
  'directory-stale': 503,
  'client-id-mismatch': 403,
  'protocol-version': 400,
  'protocol-error': 400,
  'malformed-packet': 400,
  'packet-too-large': 413,
  'connect-timeout': 408,
  'keep-alive-timeout': 408,
  'connection-limit': 503,
  'connection-rate': 429,
  'proxy-header': 400,
  'handshake-failed': 401,
  flapping: 429,
  quarantined: 403,
  'will-not-allowed': 403,
  'topic-invalid': 400,
  'topic-alias': 400,
  'topic-not-allowed': 403,
  'receive-maximum': 429,
  'quota-exceeded': 429,
  'message-rate': 429,
  'spool-full': 503,
  'taken-over': 409,
  'shutting-down': 503,
  'command-expired': 410,
  'command-unanswered': 504,
  'token-invalid': 401,
  'token-expired': 401,
  'token-spent': 401,
  'token-scope': 403,
  'claim-invalid': 401,
  'approval-pending': 202,
  'approval-denied': 403,
  'renewal-early': 429,
  'renewal-subject': 422,
  'too-many-certificates': 409,
  'anchor-possession': 422,
  'mapping-failed': 403,
  'csr-malformed': 400,
  'csr-too-large': 413,
  'csr-signature': 422,
  'csr-key-type': 422,
  'csr-key-weak': 422,
  'csr-key-reused': 409,
  'csr-subject': 422,
  'csr-san': 422,
  'csr-usage': 422,
  'csr-ca-requested': 422,
} as const satisfies Record<FaultKind, number>;

export interface Problem {
  type: string;
  title: string;
  status: number;
  code: FaultKind;
  detail: string;
  [extension: string]: unknown;
}

/** The problem document of a fault. `title` is the kind in words, `detail` the sentence for the caller. */
export function problemOf(fault: Fault): Problem {
  return {
    type: `urn:fleetgate:fault:${fault.kind}`,
    title: fault.kind.replaceAll('-', ' '),
    status: httpStatus[fault.kind],
    code: fault.kind,
    detail: fault.message,
    ...fault.fields,
  };
}

/** Headers that belong to the problem: the media type, and `Retry-After` in whole seconds where it helps. */
export function problemHeaders(fault: Fault): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' };
  if (fault.retryAfterMs !== undefined) headers['retry-after'] = String(Math.ceil(fault.retryAfterMs / 1000));
  else if (httpStatus[fault.kind] === 503) headers['retry-after'] = '5';
  return headers;
}
