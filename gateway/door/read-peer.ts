/** Reads from a finished TLS handshake what the other side has shown. Native getters only: nothing is parsed from text. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import type { Peer } from './peer.ts';

const clientAuth = '1.3.6.1.5.5.7.3.2';

/** `address` is where it was accepted from. */
export function readPeer(socket: TLSSocket, address: string): Peer {
  const leaf = socket.getPeerX509Certificate();
  return {
    address,
    fingerprint: leaf ? fingerprintOf(leaf.raw) : null,
    chainError: leaf ? chainErrorOf(socket) : null,
    leafError: leaf ? leafErrorOf(leaf) : null,
    resumed: socket.isSessionReused(),
    tlsVersion: socket.getProtocol() ?? 'unknown',
  };
}

/**
 * OpenSSL's word for why the chain does not hold. `authorized` alone says nothing: a session resumed without a
 * certificate is "authorized" too, which is why the leaf is asked for first.
 */
function chainErrorOf(socket: TLSSocket): string | null {
  if (socket.authorized) return null;
  const error = socket.authorizationError as unknown;
  return typeof error === 'string'
    ? error
    : ((error as NodeJS.ErrnoException | undefined)?.code ?? 'UNVERIFIED');
}

/** A device's leaf is no CA and is meant for clientAuth, said in so many words: `anyExtendedKeyUsage` is not enough. */
function leafErrorOf(leaf: X509Certificate): string | null {
  if (leaf.ca) return 'the certificate is that of a CA';
  // Node's `keyUsage` is the list of extended key usages (RFC 5280, section 4.2.1.12).
  if (!leaf.keyUsage?.includes(clientAuth)) return 'the certificate is not meant for clientAuth';
  return null;
}

export function addressOf(socket: { remoteAddress?: string; remotePort?: number }): string {
  const { remoteAddress = 'unknown', remotePort = 0 } = socket;
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}
