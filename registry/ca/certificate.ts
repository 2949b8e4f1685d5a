/** Makes certificates (RFC 5280) of any signer's: plain fields in, DER out. It decides nothing, and reads none. */
import { Fault } from '#common/fault.ts';
import { bitString, context, der, integer, integerOf, sequence, time } from './der-writer.ts';
import type { AuthorityInfo, KeyUsage, NameConstraints } from './extensions.ts';
import * as extensions from './extensions.ts';
import type { GeneralName } from './general-name.ts';
import { keyIdOf } from './issuer-identity.ts';
import { encodeName, type NameAttribute } from './name.ts';
import type { TbsSigner } from './signer.ts';

/**
 * All of a certificate but its signature. An extension whose field is absent or empty is left out. Lists and buffers
 * that many certificates share are encoded once when they are the same objects.
 */
export interface CertificateFields {
  /** Hex, positive, at most 20 octets (section 4.1.2.2). */
  readonly serialNumber: string;
  /** The Name of the issuer, in DER. */
  readonly issuerName: Buffer;
  readonly subject: readonly NameAttribute[];
  /** Whole seconds, in milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo, in DER. */
  readonly publicKey: Buffer;
  readonly isCa: boolean;
  /** Most CAs that may follow below; none is no bound. */
  readonly pathLength?: number;
  readonly keyUsage: readonly KeyUsage[];
  /** `clientAuth`, `serverAuth`, `OCSPSigning`, or dotted object identifiers. */
  readonly extendedKeyUsage?: readonly string[];
  readonly names?: readonly GeneralName[];
  /** SHA-1 over the public key when absent. */
  readonly subjectKeyId?: Buffer;
  readonly authorityKeyId: Buffer;
  /** Where the CRL of the issuer is: all of them name the same. */
  readonly crlUrls?: readonly string[];
  readonly authorityInfo?: AuthorityInfo;
  readonly ocspNoCheck?: boolean;
  readonly nameConstraints?: NameConstraints;
}

const mostSerialOctets = 20;
const version3 = der(context(0), integerOf(2n));

/** The certificate in DER. Faults `malformed` for fields that make none, `unavailable` as the signer does. */
export async function makeCertificate(fields: CertificateFields, signer: TbsSigner): Promise<Buffer> {
  const toBeSigned = encodeToBeSigned(fields, signer.algorithm.der);
  return sequence(toBeSigned, signer.algorithm.der, bitString(await signer.sign(toBeSigned)));
}

function encodeToBeSigned(fields: CertificateFields, algorithm: Buffer): Buffer {
  judge(fields);
  return sequence(
    version3,
    serialNumber(fields.serialNumber),
    algorithm,
    fields.issuerName,
    sequence(time(fields.notBeforeMs), time(fields.notAfterMs)),
    encodeName(fields.subject),
    fields.publicKey,
    der(context(3), sequence(...extensionsOf(fields))),
  );
}

function serialNumber(hex: string): Buffer {
  const encoded = integer(hex);
  // Tag and length are two octets.
  if (encoded.length - 2 > mostSerialOctets || encoded.equals(zero))
    throw new Fault('malformed', 'A serial number is positive and has 20 octets at most.');
  return encoded;
}
const zero = integerOf(0n);

/** Fields that contradict each other make no certificate. */
function judge({ isCa, pathLength, keyUsage, nameConstraints, notBeforeMs, notAfterMs }: CertificateFields) {
  if (isCa !== keyUsage.includes('keyCertSign'))
    throw new Fault('malformed', 'A CA has keyCertSign, and nobody else (RFC 5280, section 4.2.1.3).');
  if (!isCa && (pathLength !== undefined || nameConstraints !== undefined))
    throw new Fault('malformed', 'Path length and name constraints are for CAs (RFC 5280, section 4.2.1.9).');
  if (!(notBeforeMs <= notAfterMs)) throw new Fault('malformed', 'The validity ends before it begins.');
}

function extensionsOf(fields: CertificateFields): Buffer[] {
  const { extendedKeyUsage, names, crlUrls, authorityInfo, nameConstraints } = fields;
  const list = [
    extensions.basicConstraints(fields.isCa, fields.pathLength),
    extensions.keyUsage(fields.keyUsage),
  ];
  if (extendedKeyUsage?.length) list.push(extensions.extendedKeyUsage(extendedKeyUsage));
  if (names?.length) list.push(extensions.alternativeNames(names, fields.subject.length === 0));
  if (nameConstraints) list.push(extensions.nameConstraints(nameConstraints));
  list.push(extensions.subjectKeyId(fields.subjectKeyId ?? keyIdOf(fields.publicKey)));
  list.push(extensions.authorityKeyId(fields.authorityKeyId));
  if (crlUrls?.length) list.push(extensions.crlDistributionPoints(crlUrls));
  if (authorityInfo && authorityInfo.ocsp.length + authorityInfo.issuers.length > 0)
    list.push(extensions.authorityInfo(authorityInfo));
  if (fields.ocspNoCheck) list.push(extensions.ocspNoCheck);
  return list;
}
