/** What a CSR should be like, told before it is made: the answer of `csrattrs` (RFC 7030, section 4.5.2; RFC 8951). */
import 'reflect-metadata';
import {
  AsnArray,
  AsnConvert,
  AsnIntegerConverter,
  AsnObjectIdentifierConverter,
  AsnPropTypes,
  AsnType,
  AsnTypeTypes,
  OctetString,
} from '@peculiar/asn1-schema';
import {
  Attribute,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_kp_clientAuth,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
} from '@peculiar/asn1-x509';
import type { KeyType, ProfileDocument } from '../authority/profile.ts';
import type { KeyPurpose } from '../ca/plan.ts';

/** `CsrAttrs ::= SEQUENCE SIZE (0..MAX) OF AttrOrOID`: each item in DER. */
class CsrAttrs extends AsnArray<ArrayBuffer> {}
AsnType({ type: AsnTypeTypes.Sequence, itemType: AsnPropTypes.Any })(CsrAttrs);

const ecPublicKey = '1.2.840.10045.2.1';
const rsaEncryption = '1.2.840.113549.1.1.1';
const extensionRequest = '1.2.840.113549.1.9.14';

const curves: Partial<Record<KeyType, string>> = {
  'P-256': '1.2.840.10045.3.1.7',
  'P-384': '1.3.132.0.34',
};
/** Least bits of an RSA key. */
const rsaBits: Partial<Record<KeyType, number>> = { 'RSA-2048': 2048, 'RSA-3072': 3072, 'RSA-4096': 4096 };
/** Keys whose algorithm says all (RFC 8410, RFC 9881). */
const algorithms: Partial<Record<KeyType, string>> = {
  Ed25519: '1.3.101.112',
  'ML-DSA-44': '2.16.840.1.101.3.4.3.17',
  'ML-DSA-65': '2.16.840.1.101.3.4.3.18',
};
const purposeIds = {
  clientAuth: id_kp_clientAuth,
  serverAuth: id_kp_serverAuth,
} as const satisfies Record<KeyPurpose, string>;

/**
 * DER of the CsrAttrs for a profile: `ecPublicKey` with the curves, `rsaEncryption` with the least size, other keys by
 * their algorithm, and the extensions that may be asked for. A client that has a choice takes what comes first.
 */
export function csrAttributes({ keys, purposes }: Pick<ProfileDocument, 'keys' | 'purposes'>): Buffer {
  const keyItems = keys.flatMap((key) => {
    const algorithm = algorithms[key];
    return algorithm === undefined ? [] : [oid(algorithm)];
  });
  const curveItems = keys.flatMap((key) => curves[key] ?? []).map(oid);
  const sizes = keys.flatMap((key) => rsaBits[key] ?? []);
  const items = [
    ...(curveItems.length > 0 ? [attribute(ecPublicKey, curveItems)] : []),
    ...(sizes.length > 0 ? [attribute(rsaEncryption, [integer(Math.min(...sizes))])] : []),
    ...keyItems,
    attribute(extensionRequest, [AsnConvert.serialize(extensionsOf(purposes))]),
  ];
  return Buffer.from(AsnConvert.serialize(new CsrAttrs(items)));
}

function extensionsOf(purposes: readonly KeyPurpose[]): Extensions {
  const usage = new KeyUsage(KeyUsageFlags.digitalSignature);
  const extended = new ExtendedKeyUsage(purposes.map((purpose) => purposeIds[purpose]));
  const extension = (extnID: string, critical: boolean, value: unknown) =>
    new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });
  return new Extensions([
    extension(id_ce_keyUsage, true, usage),
    extension(id_ce_extKeyUsage, false, extended),
  ]);
}

const attribute = (type: string, values: ArrayBuffer[]): ArrayBuffer =>
  AsnConvert.serialize(new Attribute({ type, values: sorted(values) }));
/** A SET OF is in the order of its encodings (X.690, section 11.6). */
const sorted = (values: ArrayBuffer[]): ArrayBuffer[] =>
  values.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
const oid = (dotted: string): ArrayBuffer => AsnObjectIdentifierConverter.toASN(dotted).toBER(false);
const integer = (value: number): ArrayBuffer => AsnIntegerConverter.toASN(value).toBER(false);
