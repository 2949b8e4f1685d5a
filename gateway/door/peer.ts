/** What the TLS handshake tells of the other side. Read once a connection; the identity itself is the directory's word. */
import type { TLSSocket } from 'node:tls';
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

/** The finished handshake itself, for the certificate that was shown: read only when somebody is refused. */
export type Handshake = Pick<TLSSocket, 'getPeerX509Certificate'>;
