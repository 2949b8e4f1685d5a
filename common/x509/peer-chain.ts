/** The certificates that the other side of a TLS connection has shown, as they came. Nothing is verified here. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

/** TLS bounds the bytes of a chain (100 kB in OpenSSL); this bounds who is looked at. */
const longestChain = 10;

/** DER, leaf first, whose key the handshake has proved; empty when none was shown, resumed sessions included. */
export function peerChain(socket: TLSSocket): Buffer[] {
  const chain: Buffer[] = [];
  let each: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (each && chain.length < longestChain) {
    chain.push(each.raw);
    each = each.issuerCertificate;
  }
  return chain;
}
