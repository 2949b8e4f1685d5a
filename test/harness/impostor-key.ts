/** A key file that claims to belong to somebody else's certificate: its private half is another's, its public half theirs. */
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { bits, context, integer, octets, oid, sequence } from './der-writer.ts';

/**
 * PEM, SEC 1 (RFC 5915), P-256. OpenSSL compares a certificate with the public half alone, so a client uses it; what it
 * signs does not verify.
 */
export function impostorKey(certificatePem: string): string {
  const point = createPublicKey(certificatePem).export({ type: 'spki', format: 'der' }).subarray(-65);
  const { d } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const der = sequence(
    integer(1),
    octets(Buffer.from(d!, 'base64url')),
    context(0, oid('1.2.840.10045.3.1.7')),
    context(1, bits(point)),
  );
  return `-----BEGIN EC PRIVATE KEY-----\n${der.toString('base64')}\n-----END EC PRIVATE KEY-----\n`;
}
