/** Distinguished names (RFC 5280, section 4.1.2.4), one attribute a relative name. */
import { Fault } from '#common/fault.ts';
import { der, ia5, oid, printableString, sequence, setOfOne, tags, utf8String } from './der-writer.ts';

export interface NameAttribute {
  /** A short name of the list below, or a dotted object identifier. */
  readonly type: string;
  readonly value: string;
}

const types: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  serialNumber: '2.5.4.5',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  street: '2.5.4.9',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  title: '2.5.4.12',
  dnQualifier: '2.5.4.46',
  DC: '0.9.2342.19200300.100.1.25',
  UID: '0.9.2342.19200300.100.1.1',
  emailAddress: '1.2.840.113549.1.9.1',
};

/** PrintableString by their definition in X.520; IA5String by RFC 4519 and PKCS #9. All others are UTF8String. */
const printable = new Set(['2.5.4.5', '2.5.4.6', '2.5.4.46']);
const ascii = new Set(['0.9.2342.19200300.100.1.25', '1.2.840.113549.1.9.1']);

/** A Name in DER. Faults `malformed` for an attribute that is empty, unknown, or not of its alphabet. */
export function encodeName(attributes: readonly NameAttribute[]): Buffer {
  return sequence(...attributes.map((attribute) => setOfOne(encodeAttribute(attribute))));
}

function encodeAttribute({ type, value }: NameAttribute): Buffer {
  const dotted = Object.hasOwn(types, type) ? types[type]! : type;
  if (value === '') throw new Fault('malformed', `The attribute ${type} of a name is empty.`);
  if (printable.has(dotted)) return sequence(oid(dotted), printableString(value));
  if (ascii.has(dotted)) return sequence(oid(dotted), der(tags.ia5String, ia5(value)));
  return sequence(oid(dotted), utf8String(value));
}
