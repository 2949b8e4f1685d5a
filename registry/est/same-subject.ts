/**
 * Whether a CSR asks for the names that a certificate already has: what EST demands of `simplereenroll` (RFC 7030, section
 * 4.2.2). Subject and subject alternative names are compared as values, since encodings of the same text differ.
 */
import 'reflect-metadata';
import { type Attributes, CertificationRequest } from '@peculiar/asn1-csr';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  Certificate,
  type Extension,
  Extensions,
  id_ce_subjectAltName,
  type Name,
  SubjectAlternativeName,
} from '@peculiar/asn1-x509';
import { Fault } from '#common/fault.ts';

const extensionRequest = '1.2.840.113549.1.9.14';
/** A wish for other names (RFC 6402, section 2.8). */
const changeSubjectName = '1.3.6.1.5.5.7.7.36';

interface Names {
  readonly subject: string;
  readonly alternative: string;
}

/** Both DER. Faults `renewal-subject` when the names differ or others are wished for, `csr-malformed`. */
export function judgeSameSubject(csr: Buffer, certificate: Buffer): void {
  const held = namesHeld(certificate);
  const asked = namesAsked(csr);
  if (asked.subject !== held.subject || asked.alternative !== held.alternative) throw different();
}

const different = () =>
  new Fault(
    'renewal-subject',
    'The CSR asks for other names: its subject and its subject alternative name are those of the certificate that it renews, for instance by "openssl x509 -x509toreq -copy_extensions copy".',
  );

function namesHeld(der: Buffer): Names {
  const { tbsCertificate } = AsnConvert.parse(der, Certificate);
  return { subject: textOf(tbsCertificate.subject), alternative: alternativeOf(tbsCertificate.extensions) };
}

function namesAsked(der: Buffer): Names {
  try {
    const { certificationRequestInfo: info } = AsnConvert.parse(der, CertificationRequest);
    const attributes: Attributes | undefined = info.attributes;
    if (attributes?.some(({ type }) => type === changeSubjectName)) throw different();
    const extensions = attributes
      ?.filter(({ type }) => type === extensionRequest)
      .flatMap(({ values }) => values.flatMap((value) => [...AsnConvert.parse(value, Extensions)]));
    return { subject: textOf(info.subject), alternative: alternativeOf(extensions) };
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault('csr-malformed', 'The CSR cannot be read: it does not parse as PKCS #10.', { cause });
  }
}

/** One text a name: the parts in their order, of a part with several values these in any order. */
const textOf = (name: Name): string =>
  JSON.stringify(
    name.map((part) => part.map(({ type, value }) => [type, value.toString()].join('=')).sort()),
  );

/** Every name with its tag, in any order. */
const alternativeOf = (extensions: readonly Extension[] | undefined): string =>
  (extensions ?? [])
    .filter(({ extnID }) => extnID === id_ce_subjectAltName)
    .flatMap(({ extnValue }) => [...AsnConvert.parse(extnValue.buffer, SubjectAlternativeName)])
    .map((name) => Buffer.from(AsnConvert.serialize(name)).toString('hex'))
    .sort()
    .join();
