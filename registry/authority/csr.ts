/** Reads a CSR (PKCS #10, RFC 2986) once, into plain facts that csr-policy.ts can judge. */
import 'reflect-metadata';
import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { CertificationRequest } from '@peculiar/asn1-csr';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  BasicConstraints,
  ExtendedKeyUsage,
  Extensions,
  type GeneralName,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  KeyUsage,
  KeyUsageFlags,
  type Name,
  SubjectAlternativeName,
} from '@peculiar/asn1-x509';
import { Fault } from '#common/fault.ts';
import { attributeIds } from '../ca/plan.ts';
import { isProofOfPossession } from './csr-signature.ts';

/** An attribute of a subject: a short name such as `CN` where this house has one, else the object identifier. */
export interface SubjectValue {
  readonly type: string;
  readonly value: string;
}

export interface Csr {
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKeyDer: Buffer;
  readonly publicKey: KeyObject;
  /** SHA-256 of `publicKeyDer`, hex. */
  readonly keyHash: string;
  /** The whole subject, in order. */
  readonly subject: readonly SubjectValue[];
  /** Every CN of the subject, in order. */
  readonly commonNames: readonly string[];
  /** Every subject alternative name as `type:value`, the type one of `uri`, `dns`, `ip`, `email`, `other`. */
  readonly names: readonly string[];
  readonly asksForCa: boolean;
  /** Object identifiers of the extended key usages asked for. */
  readonly purposes: readonly string[];
  /** Whether the signature proves possession of the key. */
  readonly possessed: boolean;
}

/** Short names of the attributes that a profile can set, by object identifier. */
const shortNames: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(attributeIds).map(([name, id]) => [id, name]),
);

/** PKCS #9, section 5.4.2: the attribute in which a request asks for extensions. */
const extensionRequest = '1.2.840.113549.1.9.14';

/** Faults `csr-malformed` for anything that is not exactly one DER-encoded request. */
export async function readCsr(der: Buffer): Promise<Csr> {
  if (!isOneDerSequence(der)) throw malformed('the DER is cut short, or something follows it');
  let request: CertificationRequest;
  let publicKeyDer: Buffer;
  let publicKey: KeyObject;
  try {
    request = AsnConvert.parse(der, CertificationRequest);
    publicKeyDer = Buffer.from(AsnConvert.serialize(request.certificationRequestInfo.subjectPKInfo));
    publicKey = createPublicKey({ key: publicKeyDer, format: 'der', type: 'spki' });
  } catch (cause) {
    throw malformed('it does not parse as PKCS #10 with a public key', cause);
  }
  const subject = subjectOf(request.certificationRequestInfo.subject);
  return {
    publicKeyDer,
    publicKey,
    keyHash: hash('sha256', publicKeyDer, 'hex'),
    subject,
    commonNames: subject.flatMap(({ type, value }) => (type === 'CN' ? [value] : [])),
    ...extensionsOf(request),
    possessed: isProofOfPossession(request, publicKey),
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

function subjectOf(name: Name): SubjectValue[] {
  try {
    return name.flatMap((relative) =>
      relative.map(({ type, value }) => ({ type: shortNames[type] ?? type, value: value.toString() })),
    );
  } catch (cause) {
    throw malformed('an attribute of its subject is no string', cause);
  }
}

function extensionsOf(request: CertificationRequest): Pick<Csr, 'names' | 'asksForCa' | 'purposes'> {
  const names: string[] = [];
  const purposes: string[] = [];
  let asksForCa = false;
  try {
    for (const attribute of request.certificationRequestInfo.attributes) {
      if (attribute.type !== extensionRequest) continue;
      for (const { extnID, extnValue } of attribute.values.flatMap((value) => [
        ...AsnConvert.parse(value, Extensions),
      ])) {
        const value = extnValue.buffer;
        if (extnID === id_ce_basicConstraints) asksForCa ||= AsnConvert.parse(value, BasicConstraints).cA;
        if (extnID === id_ce_keyUsage) asksForCa ||= signsOthers(AsnConvert.parse(value, KeyUsage));
        if (extnID === id_ce_extKeyUsage) purposes.push(...AsnConvert.parse(value, ExtendedKeyUsage));
        if (extnID === id_ce_subjectAltName)
          names.push(...AsnConvert.parse(value, SubjectAlternativeName).map(nameOf));
      }
    }
  } catch (cause) {
    throw malformed('an extension asked for does not parse', cause);
  }
  return { names, purposes, asksForCa };
}

const signsOthers = (usage: KeyUsage): boolean =>
  (usage.toNumber() & (KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)) !== 0;

function nameOf(name: GeneralName): string {
  if (name.uniformResourceIdentifier !== undefined) return `uri:${name.uniformResourceIdentifier}`;
  if (name.dNSName !== undefined) return `dns:${name.dNSName}`;
  if (name.iPAddress !== undefined) return `ip:${name.iPAddress}`;
  if (name.rfc822Name !== undefined) return `email:${name.rfc822Name}`;
  return 'other:';
}
