/**
 * A certificate (RFC 5280, section 4.1), parsed once from DER into a frozen value. It says what is written and judges
 * only whether it can be read in one way alone; whether it may be trusted is the work of path.ts.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readTime } from './certificate-time.ts';
import {
  constructed,
  type Der,
  Fields,
  malformed,
  primitive,
  readDer,
  smallInteger,
  tags,
  wholeOctets,
} from './der.ts';
import { type Extensions, readExtensions } from './extensions.ts';
import { type Name, readName } from './name.ts';
import { type KeyFacts, readKeyFacts } from './public-key.ts';
import { readSignatureAlgorithm, type SignatureAlgorithm } from './signature-algorithm.ts';

export interface Certificate {
  readonly der: Buffer;
  /** What is signed. */
  readonly tbs: Buffer;
  readonly version: 1 | 3;
  /** Lower-case hex, two digits an octet, as in the directory; `-` before a negative one. */
  readonly serialNumber: string;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Buffer;
  readonly issuer: Name;
  readonly subject: Name;
  readonly notBeforeMs: number;
  /** The second in which it ends, which belongs to it (section 4.1.2.5). */
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
  readonly key: KeyFacts;
  readonly extensions: Extensions;
  /** The key for OpenSSL, made at the first call. Faults `certificate-malformed` (`public-key`) when it will not have it. */
  publicKey(): KeyObject;
}

/** Keeps no reference to `der`. Faults `certificate-malformed`, with a `CertificateProblem` in `fields.problem`. */
export function readCertificate(der: Buffer): Certificate {
  const root = readDer(Buffer.from(der));
  const fields = new Fields(root, 'it');
  const tbs = fields.take(tags.sequence, 'body');
  const outer = fields.take(tags.sequence, 'signature algorithm');
  const signature = wholeOctets(fields.take(tags.bitString, 'signature'), 'its signature');
  fields.end();
  return Object.freeze({ der: root.der, tbs: tbs.der, signature, ...readBody(tbs, outer) });
}

function readBody(tbs: Der, outer: Der): Omit<Certificate, 'der' | 'tbs' | 'signature'> {
  const fields = new Fields(tbs, 'its body');
  const version = readVersion(fields.takeIf(constructed(0)));
  const serialNumber = readSerialNumber(fields.take(tags.integer, 'serial number'));
  const inner = fields.take(tags.sequence, 'signature algorithm');
  // Section 4.1.1.2: what is not signed must say the same as what is.
  if (!inner.der.equals(outer.der)) {
    throw malformed('algorithm-mismatch', 'it names two different signature algorithms');
  }
  const issuer = readName(fields.any('issuer'));
  const validity = new Fields(fields.take(tags.sequence, 'validity'), 'its validity');
  const notBeforeMs = readTime(validity.any('notBefore'));
  const notAfterMs = readTime(validity.any('notAfter'));
  validity.end();
  const subject = readName(fields.any('subject'));
  const spki = fields.take(tags.sequence, 'public key');
  const hasUniqueIds = [fields.takeIf(primitive(1)), fields.takeIf(primitive(2))].some((id) => id !== null);
  const wrapper = fields.takeIf(constructed(3));
  fields.end();
  if (wrapper && wrapper.items.length !== 1) throw malformed('extension', 'its extensions are odd');
  // Section 4.1.2.1 and 4.1.2.8: what was new in version 3 does not occur in version 1.
  if (version === 1 && (wrapper || hasUniqueIds)) throw malformed('version', 'version 1 has no extensions');
  return {
    version,
    serialNumber,
    signatureAlgorithm: Object.freeze(readSignatureAlgorithm(inner)),
    issuer,
    subject,
    notBeforeMs,
    notAfterMs,
    spki: spki.der,
    key: readKeyFacts(spki),
    extensions: readExtensions(wrapper ? wrapper.items[0]! : null),
    publicKey: lazily(() => importKey(spki.der)),
  };
}

/** Version 2 was never in use; v1 is the default, which DER does not write. */
function readVersion(element: Der | null): 1 | 3 {
  if (!element) return 1;
  const number = element.items[0];
  if (
    element.items.length !== 1 ||
    number?.tag !== tags.integer ||
    smallInteger(number, 'its version') !== 2
  ) {
    throw malformed('version', 'its version is neither 1 nor 3');
  }
  return 3;
}

/** Far above the 20 octets that a path permits (section 4.1.2.2), so that the refusal can say what is wrong. */
const maxSerialBytes = 64;

function readSerialNumber({ body }: Der): string {
  if (body.length > maxSerialBytes) throw malformed('serial-number', 'its serial number is too long');
  if (body[0]! >= 0x80) {
    const magnitude = (-BigInt.asIntN(body.length * 8, BigInt(`0x${body.toString('hex')}`))).toString(16);
    return `-${magnitude.length % 2 ? '0' : ''}${magnitude}`;
  }
  return (body.length > 1 && body[0] === 0 ? body.subarray(1) : body).toString('hex');
}

function importKey(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (cause) {
    const fault = malformed('public-key', 'its public key is not a point of its curve, or otherwise odd');
    fault.cause = cause;
    throw fault;
  }
}

function lazily<Value>(make: () => Value): () => Value {
  let made: { value: Value } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
