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

/** The host of such a word. */
export function hostOf(address: string): string {
  const host = address.slice(0, address.lastIndexOf(':'));
  return host.startsWith('[') ? host.slice(1, -1) : host;
}
