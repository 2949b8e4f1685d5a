/** What a certificate says of its issuer, taken from the issuer's own certificate octet for octet: nothing is re-encoded,
 * since names are compared and not understood. */
import { hash } from 'node:crypto';
import { Fault } from '#common/fault.ts';
import { objectIdentifier, type Place, placeAt, placesIn } from './der.ts';

export interface Issuer {
  /** The Name, in DER. */
  readonly name: Buffer;
  /** What its subjectKeyIdentifier says (RFC 5280, section 4.2.1.1); computed where it has none. */
  readonly keyId: Buffer;
}

const subjectKeyIdentifier = objectIdentifier('2.5.29.14');

/** Reads a certificate of this CA (DER). Faults `malformed` for what is none. */
export function readIssuer(certificate: Buffer): Issuer {
  const [tbs] = placesIn(certificate, placeAt(certificate, 0));
  const fields = tbs ? placesIn(certificate, tbs) : [];
  // The version is [0] and stands first in all but certificates of version 1.
  const first = fields[0]?.tag === 0xa0 ? 1 : 0;
  const subject = fields[first + 4];
  const publicKey = fields[first + 5];
  if (!subject || !publicKey) throw new Fault('malformed', 'This is not a certificate.');
  const extensions = fields.find(({ tag }) => tag === 0xa3);
  return {
    name: certificate.subarray(subject.start, subject.end),
    keyId:
      (extensions && keyIdIn(certificate, extensions)) ??
      keyIdentifierOf(certificate.subarray(publicKey.start, publicKey.end)),
  };
}

function keyIdIn(der: Buffer, extensions: Place): Buffer | undefined {
  for (const extension of placesIn(der, placeAt(der, extensions.from))) {
    const parts = placesIn(der, extension);
    const [oid, octets] = [parts[0], parts.at(-1)];
    if (!oid || !octets || !der.subarray(oid.start, oid.end).equals(subjectKeyIdentifier)) continue;
    const inner = placeAt(der, octets.from);
    return der.subarray(inner.from, inner.end);
  }
  return undefined;
}

/** SHA-1 over the bits of the public key (RFC 5280, section 4.2.1.2, method 1): a name for it, not a safeguard. */
export function keyIdentifierOf(publicKey: Buffer): Buffer {
  const bits = placesIn(publicKey, placeAt(publicKey, 0)).at(-1);
  if (bits?.tag !== 0x03) throw new Fault('malformed', 'This is not a SubjectPublicKeyInfo.');
  // The first octet counts unused bits.
  return hash('sha1', publicKey.subarray(bits.from + 1, bits.end), 'buffer');
}
