/** What the TLS handshake tells of the other side. Read once a connection; the identity itself is the directory's word. */
import type { Fingerprint } from '#common/identity.ts';

export interface Peer {
  /** Address and port as one word, IPv6 in brackets. */
  readonly address: string;
  /** SHA-256 of the leaf's DER; null when no certificate was shown, also on a resumed session without one. */
  readonly fingerprint: Fingerprint | null;
  readonly resumed: boolean;
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly tlsVersion: string;
}
