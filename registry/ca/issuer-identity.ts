/** What names an issuer in CRLs and OCSP: its subject, its public key and its key identifier, cut out of its certificate. */
import { hash } from 'node:crypto';
import { DerReader } from './der-reader.ts';
import { context, oid, tags } from './der-writer.ts';

export interface IssuerIdentity {
  /** The subject as it is encoded: byte for byte what the issuer field of its CRL must say (RFC 5280, section 5.1.2.3). */
  readonly name: Buffer;
  /** The BIT STRING of its SubjectPublicKeyInfo without tag, length and unused bits (RFC 6960, section 4.1.1). */
  readonly publicKeyBits: Buffer;
  /** Its subject key identifier; by method 1 of RFC 5280, section 4.2.1.2, when it names none. */
  readonly keyId: Buffer;
}

const subjectKeyIdentifier = oid('2.5.29.14');

/** Of a certificate in DER. Faults `malformed`. */
export function issuerIdentityOf(certificate: Buffer): IssuerIdentity {
  const tbs = new DerReader(certificate).enter(tags.sequence).enter(tags.sequence);
  if (tbs.tag === context(0)) tbs.skip();
  for (const tag of [tags.integer, tags.sequence, tags.sequence, tags.sequence]) tbs.take(tag);
  const name = tbs.takeWhole(tags.sequence);
  const publicKeyBits = publicKeyBitsOf(tbs.takeWhole(tags.sequence));
  return { name, publicKeyBits, keyId: namedKeyId(tbs) ?? hash('sha1', publicKeyBits, 'buffer') };
}

/** Of a SubjectPublicKeyInfo in DER. */
export function publicKeyBitsOf(publicKeyInfo: Buffer): Buffer {
  const info = new DerReader(publicKeyInfo).enter(tags.sequence);
  info.take(tags.sequence);
  return info.take(tags.bitString).subarray(1);
}

/** The key identifier of a SubjectPublicKeyInfo by method 1: a name for it, not a safeguard. */
export const keyIdOf = (publicKeyInfo: Buffer): Buffer =>
  hash('sha1', publicKeyBitsOf(publicKeyInfo), 'buffer');

function namedKeyId(tbs: DerReader): Buffer | undefined {
  while (!tbs.atEnd && tbs.tag !== context(3)) tbs.skip();
  if (tbs.atEnd) return undefined;
  const extensions = tbs.enter(context(3)).enter(tags.sequence);
  while (!extensions.atEnd) {
    const extension = extensions.enter(tags.sequence);
    if (!extension.takeWhole(tags.oid).equals(subjectKeyIdentifier)) continue;
    if (extension.tag === tags.boolean) extension.skip();
    return new DerReader(extension.take(tags.octetString)).take(tags.octetString);
  }
  return undefined;
}
