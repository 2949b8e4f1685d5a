/** Reads from a finished TLS handshake what the other side has shown. What it is worth, others judge: TLS was asked nothing. */
import type { TLSSocket } from 'node:tls';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import type { Peer } from './peer.ts';

/** `address` is where it was accepted from. */
export function readPeer(socket: TLSSocket, address: string): Peer {
  const leaf = socket.getPeerX509Certificate();
  return {
    address,
    fingerprint: leaf ? fingerprintOf(leaf.raw) : null,
    resumed: socket.isSessionReused(),
    tlsVersion: socket.getProtocol() ?? 'unknown',
  };
}

export function addressOf(socket: { remoteAddress?: string; remotePort?: number }): string {
  const { remoteAddress = 'unknown', remotePort = 0 } = socket;
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}
