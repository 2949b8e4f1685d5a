/**
 * DER (X.690) as far as certificates and requests need it: values are made inside out, each a finished buffer, so that
 * what many certificates say alike is encoded once. Reads no more than lengths, of structures that are known to be good.
 */
import { timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';

/** One value: tag, length in its shortest form (X.690, clause 10.1), contents. */
export function value(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const header = length < 0x80 ? 2 : length < 0x100 ? 3 : length < 0x10000 ? 4 : length < 0x1000000 ? 5 : 6;
  const out = Buffer.allocUnsafe(header + length);
  out[0] = tag;
  if (header === 2) out[1] = length;
  else {
    out[1] = 0x80 | (header - 2);
    out.writeUIntBE(length, 2, header - 2);
  }
  let at = header;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => value(0x30, ...parts);
/** A SET OF one value: of several, the order would matter (X.690, clause 11.6). */
export const setOfOne = (part: Uint8Array): Buffer => value(0x31, part);
/** `[n]` around a value, or in place of the tag of a constructed one. */
export const tagged = (number: number, ...parts: readonly Uint8Array[]): Buffer =>
  value(0xa0 | number, ...parts);
/** `[n]` in place of the tag of a primitive value. */
export const taggedPrimitive = (number: number, contents: Uint8Array): Buffer =>
  value(0x80 | number, contents);
export const octetString = (...parts: readonly Uint8Array[]): Buffer => value(0x04, ...parts);
export const utf8String = (text: string): Buffer => value(0x0c, Buffer.from(text, 'utf8'));

export const nothing: Buffer = Buffer.from([0x05, 0x00]);
export const yes: Buffer = Buffer.from([0x01, 0x01, 0xff]);

/** A non-negative INTEGER from hex: the fewest octets, a zero in front when the first bit is set (clause 8.3). */
export function integerOfHex(hex: string): Buffer {
  if (!/^[0-9a-f]+$/i.test(hex)) throw new Fault('malformed', `"${hex}" is not a number in hex.`);
  const digits = hex.replace(/^0+(?=.)/, '');
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  return bytes[0]! & 0x80 ? value(0x02, zero, bytes) : value(0x02, bytes);
}
const zero = Buffer.from([0]);

export const integer = (number: number): Buffer => integerOfHex(number.toString(16));

/** A BIT STRING of whole octets. */
export const bitString = (bytes: Uint8Array): Buffer => value(0x03, zero, bytes);

/** A BIT STRING of named bits: trailing zeros are left out (clause 11.2.2). */
export function namedBits(bits: readonly number[]): Buffer {
  const last = Math.max(-1, ...bits);
  const bytes = Buffer.alloc(Math.ceil((last + 1) / 8));
  for (const bit of bits) bytes[bit >> 3]! |= 0x80 >> (bit & 7);
  return value(0x03, Buffer.from([last < 0 ? 0 : 7 - (last & 7)]), bytes);
}

const identifiers = new Map<string, Buffer>();
/** Identifiers that are remembered; what comes after is encoded each time. */
const mostIdentifiers = 256;

/** An OBJECT IDENTIFIER from its dotted form. Faults `malformed`. */
export function objectIdentifier(dotted: string): Buffer {
  const known = identifiers.get(dotted);
  if (known) return known;
  const arcs = /^[012](\.\d{1,15})+$/.test(dotted) ? dotted.split('.').map(Number) : [];
  const [first = 0, second = 0, ...rest] = arcs;
  if (arcs.length < 2 || (first < 2 && second > 39))
    throw new Fault('malformed', `"${dotted}" is not an object identifier.`);
  const made = value(0x06, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
  if (identifiers.size < mostIdentifiers) identifiers.set(dotted, made);
  return made;
}

/** Seven bits an octet, the first bit set on all but the last (clause 8.19.2). */
function base128(arc: number): number[] {
  const octets = [arc % 128];
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
    octets.unshift((left % 128) | 0x80);
  return octets;
}

/** A PrintableString (X.680, clause 41.4). Faults `malformed` for other characters. */
export function printableString(text: string): Buffer {
  if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text))
    throw new Fault('malformed', `"${text}" has characters that a PrintableString cannot hold.`);
  return value(0x13, Buffer.from(text, 'latin1'));
}

/** The octets of an IA5String. Faults `malformed` for anything but printable ASCII. */
export function ia5(text: string): Buffer {
  if (!/^[\x20-\x7e]+$/.test(text))
    throw new Fault('malformed', `${JSON.stringify(text)} is empty or not plain ASCII.`);
  return Buffer.from(text, 'latin1');
}

/** Milliseconds since 1970, whole seconds: UTCTime through 2049, GeneralizedTime after (RFC 5280, section 4.1.2.5). */
export function time(epochMs: number): Buffer {
  const digits = timestamp(epochMs).replace(/\.\d+Z$|[-:T]/g, '');
  if (digits.length !== 14) throw new Fault('malformed', 'X.509 knows no years but those of four digits.');
  const short = digits >= '1950' && digits < '2050';
  return short
    ? value(0x17, Buffer.from(`${digits.slice(2)}Z`, 'latin1'))
    : value(0x18, Buffer.from(`${digits}Z`, 'latin1'));
}

/** Where a value lies in a buffer. */
export interface Place {
  readonly tag: number;
  readonly start: number;
  /** Of the contents. */
  readonly from: number;
  readonly end: number;
}

/** The value that begins at `start`. Faults `malformed` when it is cut short. */
export function placeAt(der: Buffer, start: number): Place {
  const first = der[start + 1] ?? 0x80;
  const count = first < 0x80 ? 0 : first & 0x7f;
  const from = start + 2 + count;
  if (first === 0x80 || count > 4 || from > der.length) throw cutShort();
  const end = from + (count === 0 ? first : der.readUIntBE(start + 2, count));
  if (end > der.length) throw cutShort();
  return { tag: der[start]!, start, from, end };
}

/** The values inside a constructed one. */
export function placesIn(der: Buffer, { from, end }: Pick<Place, 'from' | 'end'>): Place[] {
  const places: Place[] = [];
  for (let at = from; at < end; at = places.at(-1)!.end) places.push(placeAt(der, at));
  return places;
}

const cutShort = () => new Fault('malformed', 'This is not DER, or it is cut short.');
