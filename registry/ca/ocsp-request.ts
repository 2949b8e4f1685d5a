/**
 * OCSP requests (RFC 6960, section 4.1) read strictly and within bounds. Who asks is of no interest: the signature of
 * a request is passed over, as RFC 5019 says that there is none.
 */

import { hash } from 'node:crypto';
import { DerReader, malformed } from './der-reader.ts';
import { context, der, derNull, octetString, oid, sequence, tags } from './der-writer.ts';
import type { IssuerIdentity } from './issuer-identity.ts';

export interface CertId {
  readonly hash: 'sha1' | 'sha256';
  /** The hash of the issuer's name, then that of its key. */
  readonly issuerHash: Buffer;
  /** Lower-case hex, even length; null when it is negative or longer than any CA may make it (RFC 5280, 4.1.2.2). */
  readonly serial: string | null;
  /** As it came: the answer repeats it byte for byte. */
  readonly der: Buffer;
}

export interface OcspRequest {
  /** At least one. */
  readonly certIds: readonly CertId[];
  readonly nonce: Buffer | null;
}

/** Longest nonce (RFC 8954, section 2.1). */
const nonceLimit = 32;
/** Most extensions that are looked at; nobody sends more than two. */
const extensionLimit = 8;
const hashes = [
  { hash: 'sha1', id: oid('1.3.14.3.2.26'), length: 20 },
  { hash: 'sha256', id: oid('2.16.840.1.101.3.4.2.1'), length: 32 },
] as const;
const nonceId = oid('1.3.6.1.5.5.7.48.1.2');

/**
 * Reads a request of at most `mostCertIds` certificates; the caller has bounded its length. Faults `malformed` for
 * anything else than exactly one well-formed request: what follows it, an extension twice, a critical one that is not
 * known, a hash other than SHA-1 and SHA-256.
 */
export function readOcspRequest(request: Buffer, mostCertIds: number): OcspRequest {
  const whole = new DerReader(request);
  const fields = whole.enter(tags.sequence);
  whole.finish();
  const tbs = fields.enter(tags.sequence);
  if (fields.tag === context(0)) fields.skip();
  fields.finish();

  if (tbs.tag === context(0)) judgeVersion(tbs.enter(context(0)));
  if (tbs.tag === context(1)) tbs.skip();
  const certIds = readList(tbs.enter(tags.sequence), mostCertIds);
  const nonce = tbs.tag === context(2) ? readExtensions(tbs.enter(context(2))) : null;
  tbs.finish();
  return { certIds, nonce };
}

/** DER leaves out v1, the default; those who write it nevertheless mean the same. */
function judgeVersion(version: DerReader): void {
  if (!version.take(tags.integer).equals(Buffer.from([0]))) throw malformed('OCSP has one version');
  version.finish();
}

function readList(list: DerReader, limit: number): CertId[] {
  const certIds: CertId[] = [];
  while (!list.atEnd) {
    if (certIds.length === limit) throw malformed(`it asks for more than ${limit} certificates`);
    const single = list.enter(tags.sequence);
    certIds.push(readCertId(single.takeWhole(tags.sequence)));
    // A nonce for one certificate alone does not exist.
    if (single.tag === context(0)) readExtensions(single.enter(context(0)));
    single.finish();
  }
  if (certIds.length === 0) throw malformed('it asks for no certificate');
  return certIds;
}

function readCertId(whole: Buffer): CertId {
  const certId = new DerReader(whole).enter(tags.sequence);
  const algorithm = certId.enter(tags.sequence);
  const id = takeOid(algorithm);
  // Absent and NULL are both in use (RFC 5754, section 2).
  if (!algorithm.atEnd && algorithm.take(tags.null).length > 0) throw malformed('NULL is empty');
  algorithm.finish();
  const nameHash = certId.take(tags.octetString);
  const keyHash = certId.take(tags.octetString);
  const serial = certId.take(tags.integer);
  certId.finish();
  const known = hashes.find((each) => each.id.equals(id));
  if (!known) throw malformed('issuers are hashed with SHA-1 or SHA-256');
  if (nameHash.length !== known.length || keyHash.length !== known.length)
    throw malformed('a hash is not as long as its algorithm makes it');
  return {
    hash: known.hash,
    issuerHash: Buffer.concat([nameHash, keyHash]),
    serial: readSerial(serial),
    der: whole,
  };
}

/** With its header. The last octet of an arc has no first bit (X.690, section 8.19.2). */
function takeOid(reader: DerReader): Buffer {
  const id = reader.takeWhole(tags.oid);
  if (id.length < 3 || id.at(-1)! >= 0x80) throw malformed('an OBJECT IDENTIFIER is cut off');
  return id;
}

function readSerial(octets: Buffer): string | null {
  const [first, second] = octets;
  if (first === undefined) throw malformed('an INTEGER is not empty');
  const shortest =
    second === undefined || !((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (!shortest) throw malformed('an INTEGER is not the shortest');
  if (first >= 0x80) return null;
  const significant = first === 0 && octets.length > 1 ? octets.subarray(1) : octets;
  return significant.length > 20 ? null : significant.toString('hex');
}

/** The nonce, if there is one among the extensions. */
function readExtensions(wrapper: DerReader): Buffer | null {
  const list = wrapper.enter(tags.sequence);
  wrapper.finish();
  const seen: Buffer[] = [];
  let nonce: Buffer | null = null;
  while (!list.atEnd) {
    const extension = list.enter(tags.sequence);
    const id = takeOid(extension);
    if (seen.some((other) => other.equals(id))) throw malformed('an extension comes twice');
    if (seen.push(id) > extensionLimit) throw malformed('it has too many extensions');
    const critical =
      extension.tag === tags.boolean && extension.take(tags.boolean).some((octet) => octet !== 0);
    const value = extension.take(tags.octetString);
    extension.finish();
    if (id.equals(nonceId)) nonce = readNonce(value);
    else if (critical) throw malformed('a critical extension is not known here');
  }
  return nonce;
}

/** `Nonce ::= OCTET STRING (SIZE(1..32))` inside of the extension's own OCTET STRING. */
function readNonce(value: Buffer): Buffer {
  const reader = new DerReader(value);
  const nonce = reader.take(tags.octetString);
  reader.finish();
  if (nonce.length === 0 || nonce.length > nonceLimit)
    throw malformed(`a nonce has 1 to ${nonceLimit} octets`);
  return nonce;
}

/** What a client with this certificate (DER) and its issuer would ask: by SHA-1, as nearly all do. Faults `malformed`. */
export function certIdOf(certificate: Buffer, issuer: IssuerIdentity): CertId {
  const tbs = new DerReader(certificate).enter(tags.sequence).enter(tags.sequence);
  if (tbs.tag === context(0)) tbs.skip();
  const serial = tbs.take(tags.integer);
  const nameHash = hash('sha1', issuer.name, 'buffer');
  const keyHash = hash('sha1', issuer.publicKeyBits, 'buffer');
  const algorithm = sequence(oid('1.3.14.3.2.26'), derNull);
  return {
    hash: 'sha1',
    issuerHash: Buffer.concat([nameHash, keyHash]),
    serial: readSerial(serial),
    der: sequence(algorithm, octetString(nameHash), octetString(keyHash), der(tags.integer, serial)),
  };
}

/** Name of the issuer of a certificate, both in DER. Faults `malformed`. */
export function issuerNameOf(certificate: Buffer): Buffer {
  const tbs = new DerReader(certificate).enter(tags.sequence).enter(tags.sequence);
  if (tbs.tag === context(0)) tbs.skip();
  tbs.take(tags.integer);
  tbs.take(tags.sequence);
  return tbs.takeWhole(tags.sequence);
}
