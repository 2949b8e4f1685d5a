/** The certificates that a peer has shown, as it sent them. Read only for those whose certificate nobody knows. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { mostOfChain } from '#common/x509/trusted-issuers.ts';

/** DER, leaf first, at most `mostOfChain`; of a resumed session the leaf alone, if that. */
export function readChain(socket: TLSSocket): readonly Buffer[] {
  const chain: Buffer[] = [];
  let next: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (next && chain.length < mostOfChain) {
    chain.push(next.raw);
    next = next.issuerCertificate;
  }
  return chain;
}
