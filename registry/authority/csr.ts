/** Reads a CSR (PKCS #10, RFC 2986) once, into plain facts that csr-policy.ts can judge. */
import 'reflect-metadata';
import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import { Fault } from '#common/fault.ts';

export interface Csr {
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKeyDer: Buffer;
  readonly publicKey: KeyObject;
  /** SHA-256 of `publicKeyDer`, hex. */
  readonly keyHash: string;
  /** Every CN of the subject, in order. */
  readonly commonNames: readonly string[];
  /** Every subject alternative name as `type:value`. */
  readonly names: readonly string[];
  readonly asksForCa: boolean;
  /** Object identifiers of the extended key usages asked for. */
  readonly purposes: readonly string[];
  /** Whether the signature proves possession of the key. */
  readonly possessed: boolean;
}

/** Faults `csr-malformed` for anything that is not exactly one DER-encoded request. */
export async function readCsr(der: Buffer): Promise<Csr> {
  if (!isOneDerSequence(der)) throw malformed('the DER is cut short, or something follows it');
  let request: Pkcs10CertificateRequest;
  let publicKeyDer: Buffer;
  let publicKey: KeyObject;
  try {
    request = new Pkcs10CertificateRequest(der);
    publicKeyDer = Buffer.from(request.publicKey.rawData);
    publicKey = createPublicKey({ key: publicKeyDer, format: 'der', type: 'spki' });
  } catch (cause) {
    throw malformed('it does not parse as PKCS #10 with a public key', cause);
  }
  return {
    publicKeyDer,
    publicKey,
    keyHash: hash('sha256', publicKeyDer, 'hex'),
    commonNames: commonNamesOf(request.subjectName.toJSON()),
    ...extensionsOf(request),
    // A signature algorithm that is not known is one that does not verify.
    possessed: await request.verify().catch(() => false),
  };
}

const malformed = (why: string, cause?: unknown) =>
  new Fault('csr-malformed', `The CSR cannot be read: ${why}.`, { cause });

/** One SEQUENCE of definite, minimal length that fills the buffer (X.690, clause 10.1). */
function isOneDerSequence(der: Buffer): boolean {
  if (der.length < 2 || der[0] !== 0x30) return false;
  const first = der[1]!;
  if (first < 0x80) return der.length === 2 + first;
  const count = first & 0x7f;
  if (count === 0 || count > 3 || der.length < 2 + count) return false;
  const length = der.readUIntBE(2, count);
  return length >= (count === 1 ? 0x80 : 1 << (8 * (count - 1))) && der.length === 2 + count + length;
}

const commonNamesOf = (subject: JsonName): string[] => subject.flatMap((attributes) => attributes.CN ?? []);

function extensionsOf(request: Pkcs10CertificateRequest): Pick<Csr, 'names' | 'asksForCa' | 'purposes'> {
  const names: string[] = [];
  const purposes: string[] = [];
  let asksForCa = false;
  try {
    for (const extension of request.extensions) {
      if (extension instanceof BasicConstraintsExtension) asksForCa ||= extension.ca;
      if (extension instanceof KeyUsagesExtension) {
        asksForCa ||= (extension.usages & (KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)) !== 0;
      }
      if (extension instanceof ExtendedKeyUsageExtension) purposes.push(...extension.usages.map(String));
      if (extension instanceof SubjectAlternativeNameExtension) {
        names.push(...extension.names.items.map(({ type, value }) => `${type}:${value}`));
      }
    }
  } catch (cause) {
    throw malformed('an extension asked for does not parse', cause);
  }
  return { names, purposes, asksForCa };
}
