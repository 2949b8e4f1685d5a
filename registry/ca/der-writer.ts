/**
 * Writes DER (X.690), for what is made in such numbers that a general encoder would be felt: CRLs and OCSP answers.
 * Reading is der-reader.ts; certificates and requests of others are read by @peculiar/x509.
 */
import { timestamp } from '#common/clock.ts';

/** Identifier octets. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
} as const;

/** `[n]` of something constructed: EXPLICIT, or IMPLICIT of a SEQUENCE. */
export const context = (number: number): number => 0xa0 | number;

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
export const derTrue: Buffer = der(tags.boolean, Buffer.from([0xff]));

/** A number that is not negative, from lower-case hex of any length, in its shortest form. */
export function integer(hex: string): Buffer {
  const digits = hex.replace(/^(00)+(?=..)/, '');
  const pad = Number.parseInt(digits.slice(0, 2), 16) >= 0x80 ? '00' : '';
  return der(tags.integer, Buffer.from(pad + digits, 'hex'));
}

/** The same from a bigint. */
export function integerOf(value: bigint): Buffer {
  const hex = value.toString(16);
  return integer(hex.length % 2 === 0 ? hex : `0${hex}`);
}

/** From dotted decimal. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(tags.oid, Buffer.from(bytes));
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

const digitsOf = (epochMs: number): string => timestamp(epochMs).slice(0, 19).replace(/[-:T]/g, '');

/** An Extension (RFC 5280, section 4.1) around the DER of its value. */
export const extension = (id: Buffer, value: Buffer, critical = false): Buffer =>
  critical ? sequence(id, derTrue, octetString(value)) : sequence(id, octetString(value));
