/**
 * Writes DER (X.690), for what is made in such numbers that a general encoder would be felt: certificates, CRLs and OCSP
 * answers. Values are made inside out, each a finished buffer, so that what many say alike is encoded once. Reading is
 * der-reader.ts; certificates and requests of others are read by @peculiar/x509.
 */
import { timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';

/** Identifier octets. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[n]` of something constructed: EXPLICIT, or IMPLICIT of a SEQUENCE. */
export const context = (number: number): number => 0xa0 | number;

/** `[n]` in place of the tag of something primitive. */
export const contextPrimitive = (number: number): number => 0x80 | number;

/** One value: the tag, the length in its shortest form (X.690, section 10.1), the parts one after the other. */
export function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  return Buffer.concat([header(tag, length), ...parts]);
}

/** Identifier and length octets of a value of that length. */
export function header(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.from([tag, length]);
  if (length < 0x100) return Buffer.from([tag, 0x81, length]);
  if (length < 0x1_0000) return Buffer.from([tag, 0x82, length >> 8, length & 0xff]);
  if (length < 0x100_0000) return Buffer.from([tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]);
  const bytes = Buffer.from([tag, 0x84, 0, 0, 0, 0]);
  bytes.writeUInt32BE(length, 2);
  return bytes;
}

export const sequence = (...parts: readonly Buffer[]): Buffer => der(tags.sequence, ...parts);
export const octetString = (bytes: Buffer): Buffer => der(tags.octetString, bytes);
export const enumerated = (value: number): Buffer => der(tags.enumerated, Buffer.from([value]));
/** All bits used. */
export const bitString = (bytes: Buffer): Buffer => der(tags.bitString, Buffer.from([0]), bytes);
export const derNull: Buffer = der(tags.null);
/** A SET OF one value: of several, their order would matter (section 11.6). */
export const setOfOne = (part: Buffer): Buffer => der(tags.set, part);
export const utf8String = (text: string): Buffer => der(tags.utf8String, Buffer.from(text, 'utf8'));
export const derTrue: Buffer = der(tags.boolean, Buffer.from([0xff]));

/**
 * A number that is not negative, from hex of any length: the fewest octets, a zero in front when the first bit is set
 * (section 8.3). Faults `malformed` for what is no hex.
 */
export function integer(hex: string): Buffer {
  if (!/^[0-9a-f]+$/i.test(hex)) throw new Fault('malformed', `"${hex}" is not a number in hex.`);
  const digits = hex.replace(/^0+(?=.)/, '');
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  return bytes[0]! & 0x80 ? der(tags.integer, zero, bytes) : der(tags.integer, bytes);
}
const zero = Buffer.from([0]);

/** The same from a bigint. */
export const integerOf = (value: bigint): Buffer => integer(value.toString(16));

/** A BIT STRING of named bits: zeros at the end are left out (section 11.2.2). */
export function namedBits(bits: readonly number[]): Buffer {
  const last = Math.max(-1, ...bits);
  const bytes = Buffer.alloc(Math.ceil((last + 1) / 8));
  for (const bit of bits) bytes[bit >> 3]! |= 0x80 >> (bit & 7);
  return der(tags.bitString, Buffer.from([last < 0 ? 0 : 7 - (last & 7)]), bytes);
}

const identifiers = new Map<string, Buffer>();
/** Identifiers that are remembered; what comes after is encoded each time. */
const mostIdentifiers = 256;

/** From dotted decimal. Faults `malformed`. */
export function oid(dotted: string): Buffer {
  const known = identifiers.get(dotted);
  if (known) return known;
  const arcs = /^[012](\.\d{1,15})+$/.test(dotted) ? dotted.split('.').map(Number) : [];
  const [first = 0, second = 0, ...rest] = arcs;
  if (arcs.length < 2 || (first < 2 && second > 39))
    throw new Fault('malformed', `"${dotted}" is not an object identifier.`);
  const made = der(tags.oid, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
  if (identifiers.size < mostIdentifiers) identifiers.set(dotted, made);
  return made;
}

/** Seven bits an octet, the first bit set on all but the last (section 8.19.2). */
function base128(arc: number): number[] {
  const octets = [arc % 128];
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
    octets.unshift((left % 128) | 0x80);
  return octets;
}

/** Faults `malformed` for characters that are not of its alphabet (X.680, section 41.4). */
export function printableString(text: string): Buffer {
  if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text))
    throw new Fault('malformed', `"${text}" has characters that a PrintableString cannot hold.`);
  return der(tags.printableString, Buffer.from(text, 'latin1'));
}

/** The octets of an IA5String. Faults `malformed` for anything but printable ASCII. */
export function ia5(text: string): Buffer {
  if (!/^[\x20-\x7e]+$/.test(text))
    throw new Fault('malformed', `${JSON.stringify(text)} is empty or not plain ASCII.`);
  return Buffer.from(text, 'latin1');
}

/** `YYYYMMDDHHMMSSZ`. */
export const generalizedTime = (epochMs: number): Buffer =>
  der(tags.generalizedTime, Buffer.from(`${digitsOf(epochMs)}Z`, 'latin1'));

/** Time of RFC 5280, sections 4.1.2.5 and 5.1.2.4: UTCTime through 2049, GeneralizedTime from 2050. */
export function time(epochMs: number): Buffer {
  const digits = digitsOf(epochMs);
  if (digits >= '2050' || digits < '1950') return generalizedTime(epochMs);
  return der(tags.utcTime, Buffer.from(`${digits.slice(2)}Z`, 'latin1'));
}

function digitsOf(epochMs: number): string {
  const digits = timestamp(epochMs).replace(/\.\d+Z$|[-:T]/g, '');
  if (digits.length !== 14) throw new Fault('malformed', 'X.509 knows no years but those of four digits.');
  return digits;
}

/** An Extension (RFC 5280, section 4.1) around the DER of its value. */
export const extension = (id: Buffer, value: Buffer, critical = false): Buffer =>
  critical ? sequence(id, derTrue, octetString(value)) : sequence(id, octetString(value));
