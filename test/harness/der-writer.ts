/** Writes DER, and whatever else is asked: what a strict reader must refuse has to be made by hand. */

/** Identifier, length in its shortest form, contents. */
export function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), body]);
  const octets = Buffer.from(
    length.toString(16).padStart(Math.ceil(length.toString(16).length / 2) * 2, '0'),
    'hex',
  );
  return Buffer.concat([Buffer.from([tag, 0x80 | octets.length]), octets, body]);
}

export const sequence = (...parts: readonly Buffer[]): Buffer => tlv(0x30, ...parts);
export const set = (...parts: readonly Buffer[]): Buffer => tlv(0x31, ...[...parts].sort(Buffer.compare));
export const octets = (...parts: readonly Buffer[]): Buffer => tlv(0x04, ...parts);
export const bits = (body: Buffer, unused = 0): Buffer => tlv(0x03, Buffer.from([unused]), body);
export const boolean = (value: boolean): Buffer => tlv(0x01, Buffer.from([value ? 0xff : 0]));
export const nothing: Buffer = Buffer.from([0x05, 0x00]);
export const context = (number: number, ...parts: readonly Buffer[]): Buffer => tlv(0xa0 | number, ...parts);
export const contextText = (number: number, text: string): Buffer =>
  tlv(0x80 | number, Buffer.from(text, 'latin1'));
export const text = (tag: number, value: string): Buffer => tlv(tag, Buffer.from(value, 'utf8'));

/** Of an integer that is not negative. */
export function integer(value: bigint | number): Buffer {
  const hex = value.toString(16);
  const even = hex.length % 2 ? `0${hex}` : hex;
  return tlv(0x02, Buffer.from(Number.parseInt(even.slice(0, 2), 16) >= 0x80 ? `00${even}` : even, 'hex'));
}

export function oid(dotted: string): Buffer {
  const [first = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt);
  const body = [first * 40n + second, ...rest].flatMap((arc) => {
    const groups = [Number(arc & 0x7fn)];
    for (let left = arc >> 7n; left > 0n; left >>= 7n) groups.unshift(0x80 | Number(left & 0x7fn));
    return groups;
  });
  return tlv(0x06, Buffer.from(body));
}

/** As RFC 5280 wants times: UTCTime to 2049. `iso` is `2026-11-01T00:00:00Z`. */
export function time(iso: string): Buffer {
  const digits = iso.replace(/[-:T]/g, '');
  return Number(iso.slice(0, 4)) < 2050 ? text(0x17, digits.slice(2)) : text(0x18, digits);
}
