/**
 * Distinguished names (RFC 5280, sections 4.1.2.4 and 7.1): attributes as they are written, and a canonical form in
 * which names are compared. A name is never a line of text here: there is nothing to split.
 */
import { type Der, Fields, malformed, oidOf, tags } from './der.ts';

export const stringTypes = {
  [tags.utf8String]: 'utf8',
  [tags.printableString]: 'printable',
  [tags.ia5String]: 'ia5',
  [tags.numericString]: 'numeric',
  [tags.visibleString]: 'visible',
  [tags.teletexString]: 'teletex',
  [tags.bmpString]: 'bmp',
  [tags.universalString]: 'universal',
} as const;
/** `other` is an attribute that is no string. */
export type StringType = (typeof stringTypes)[keyof typeof stringTypes] | 'other';

export interface Attribute {
  readonly oid: string;
  readonly type: StringType;
  /** The text; of `other`, its DER in hex. */
  readonly value: string;
}

export interface Name {
  readonly der: Buffer;
  /** A relative distinguished name may hold several attributes. */
  readonly rdns: readonly (readonly Attribute[])[];
  /** One canonical text for each relative distinguished name. */
  readonly canonical: readonly string[];
}

/** Longest upper bound of RFC 5280, appendix A.1 is 32,768 (ub-name); nobody needs that. */
export const maxAttributeBytes = 4096;

/** Faults `certificate-malformed` (`name`). */
export function readName(element: Der): Name {
  if (element.tag !== tags.sequence) throw malformed('name', 'a name has the wrong type');
  const rdns = element.items.map(readRdn);
  return Object.freeze({
    der: element.der,
    rdns: Object.freeze(rdns),
    canonical: Object.freeze(rdns.map(canonicalRdn)),
  });
}

function readRdn(element: Der): readonly Attribute[] {
  if (element.tag !== tags.set || element.items.length === 0) {
    throw malformed('name', 'a name has an empty part');
  }
  // The encodings of a SET OF ascend (X.690, section 11.6).
  const ascends = element.items.every(
    (item, at) => at === 0 || Buffer.compare(element.items[at - 1]!.der, item.der) < 0,
  );
  if (!ascends) throw malformed('name', 'the attributes of a name are not in order');
  return Object.freeze(element.items.map(readAttribute));
}

function readAttribute(element: Der): Attribute {
  const fields = new Fields(element, 'an attribute');
  const oid = oidOf(fields.take(tags.oid, 'type'));
  const value = fields.any('value');
  fields.end();
  if (value.body.length > maxAttributeBytes) throw malformed('name', 'an attribute is too long');
  const type = (stringTypes as Readonly<Record<number, Exclude<StringType, 'other'>>>)[value.tag] ?? 'other';
  return Object.freeze({
    oid,
    type,
    value: type === 'other' ? value.der.toString('hex') : textOf(value.body, type),
  });
}

/** As strict as Go's reader: `*` and `&` are not in X.680's PrintableString, and are in too many certificates. */
const printable = /^[A-Za-z0-9 '()+,\-./:=?*&]*$/;
const control = /[\u0000-\u001f\u007f]/;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(body: Buffer, type: Exclude<StringType, 'other'>): string {
  const text = decode(body, type);
  if (text === null) throw malformed('name', `an attribute is not what its type, ${type}, allows`);
  // A NUL ends the name for some readers and not for others (CVE-2009-2408).
  if (control.test(text)) throw malformed('name', 'an attribute holds a control character');
  return text;
}

/** Null for what the type does not allow. */
function decode(body: Buffer, type: Exclude<StringType, 'other'>): string | null {
  switch (type) {
    case 'utf8':
      try {
        return decoder.decode(body);
      } catch {
        return null;
      }
    case 'bmp': {
      if (body.length % 2 !== 0) return null;
      const text = Buffer.from(body).swap16().toString('utf16le');
      // UCS-2 has no surrogates: what comes in pairs is UTF-16, another type.
      return /[\ud800-\udfff]/.test(text) ? null : text;
    }
    case 'universal':
      return decodeUniversal(body);
    case 'teletex':
      return body.toString('latin1');
    default: {
      const text = body.toString('latin1');
      const allowed =
        type === 'printable' ? printable : type === 'numeric' ? /^[0-9 ]*$/ : /^[\u0000-\u007f]*$/;
      return allowed.test(text) ? text : null;
    }
  }
}

function decodeUniversal(body: Buffer): string | null {
  if (body.length % 4 !== 0) return null;
  let text = '';
  for (let at = 0; at < body.length; at += 4) {
    const point = body.readUInt32BE(at);
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return null;
    text += String.fromCodePoint(point);
  }
  return text;
}

/** Case and spaces as RFC 4518 prepares them, near enough: NFKC, lower case, one space between words. */
const fold = (text: string): string => text.normalize('NFKC').toLowerCase().trim().replace(/\s+/g, ' ');

/**
 * All text compares as text, whatever string type it is written in, so that an excluded name is not let through as a
 * BMPString. What is no text compares byte by byte.
 */
const canonicalRdn = (rdn: readonly Attribute[]): string =>
  JSON.stringify(
    rdn
      .map(({ oid, type, value }) => (type === 'other' ? [oid, type, value] : [oid, fold(value)]))
      .map((attribute) => JSON.stringify(attribute))
      .sort(),
  );

export const isEmptyName = (name: Name): boolean => name.rdns.length === 0;

/** Whether two names are the same (RFC 5280, section 7.1). */
export const isSameName = (one: Name, other: Name): boolean =>
  one.canonical.length === other.canonical.length && isWithinName(one, other);

/** Whether a name lies in the subtree that `root` begins (RFC 5280, section 4.2.1.10). */
export const isWithinName = (name: Name, root: Name): boolean =>
  name.canonical.length >= root.canonical.length &&
  root.canonical.every((part, at) => part === name.canonical[at]);

/** The values of an attribute, in order, as text; attributes that are no string are left out. */
export const valuesOf = (name: Name, oid: string): string[] =>
  name.rdns
    .flat()
    .filter((attribute) => attribute.oid === oid && attribute.type !== 'other')
    .map(({ value }) => value);

/** For people: `CN=…, O=…` in quotes where needed. Never read back. */
export const nameForPeople = (name: Name): string =>
  isEmptyName(name)
    ? 'no name'
    : name.rdns
        .map((rdn) =>
          rdn.map(({ oid, value }) => `${shortNames[oid] ?? oid}=${JSON.stringify(value)}`).join('+'),
        )
        .join(', ')
        .slice(0, 200);

const shortNames: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
};
