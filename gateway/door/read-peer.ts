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

/** Address and port as one word, IPv6 in brackets. */
export const addressOf = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host || 'unknown'}:${port}`;

/** The address of `addressOf` without port and brackets; one that has neither as it is. */
export function hostOf(address: string): string {
  if (address.startsWith('[')) return address.slice(1, address.indexOf(']'));
  const first = address.indexOf(':');
  return first === address.lastIndexOf(':') && first >= 0 ? address.slice(0, first) : address;
}
