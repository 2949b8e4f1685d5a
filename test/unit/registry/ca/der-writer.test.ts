/** DER by its clauses: the shortest form of everything, and what cannot be said is refused. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DerReader } from '../../../../registry/ca/der-reader.ts';
import {
  integer,
  namedBits,
  octetString,
  oid,
  printableString,
  sequence,
  tags,
  time,
} from '../../../../registry/ca/der-writer.ts';

const at = (text: string) => time(Date.parse(text));

test.each([
  ['2026-11-25T01:02:03Z', '170d3236313132353031303230335a'],
  // RFC 5280, section 4.1.2.5: through 2049, and after.
  ['2049-12-31T23:59:59Z', '170d3439313233313233353935395a'],
  ['2050-01-01T00:00:00Z', '180f32303530303130313030303030305a'],
  ['9999-12-31T23:59:59Z', '180f39393939313233313233353935395a'],
  ['1950-01-01T00:00:00Z', '170d3530303130313030303030305a'],
  ['1949-12-31T23:59:59Z', '180f31393439313233313233353935395a'],
])('the time %s', (text, hex) => expect(at(text).toString('hex')).toBe(hex));

test('there is no year 10000', () => expect(() => time(253_402_300_800_000)).toThrow(/four digits/));

test.each([
  ['00', '020100'],
  ['7f', '02017f'],
  ['80', '02020080'],
  ['0000ff', '020200ff'],
  ['100', '02020100'],
])('the number %s has the fewest octets and is positive', (hex, der) =>
  expect(integer(hex).toString('hex')).toBe(der),
);

test('what is no number is refused', () => {
  for (const text of ['', '-1', '0x1', 'g']) expect(() => integer(text)).toThrow(/not a number/);
});

test.each([
  ['1.2.840.10045.4.3.2', '06082a8648ce3d040302'],
  ['2.16.840.1.101.3.4.3.17', '060960864801650304 0311'.replace(' ', '')],
  ['2.999', '06028837'],
  ['1.3.101.112', '06032b6570'],
])('the object identifier %s', (dotted, hex) => expect(oid(dotted).toString('hex')).toBe(hex));

test('what is no object identifier is refused', () => {
  for (const text of ['', '1', '3.1', '1.40', '1..2', 'clientAuth', '1.2.9999999999999999'])
    expect(() => oid(text)).toThrow(/not an object identifier/);
});

test.each([
  [[], '030100'],
  [[0], '03020780'],
  [[5, 6], '03020106'],
  [[0, 8], '0303078080'],
])('the bits %j are trimmed', (bits, hex) => expect(namedBits(bits).toString('hex')).toBe(hex));

test('a PrintableString holds its alphabet and nothing else', () => {
  expect(printableString("Az0 '()+,-./:=?").subarray(2).toString()).toBe("Az0 '()+,-./:=?");
  for (const text of ['a@b', 'a*b', 'ä', 'a_b'])
    expect(() => printableString(text)).toThrow(/PrintableString/);
});

test('lengths are in their shortest form, and are read back', () => {
  fc.assert(
    fc.property(fc.constantFrom(0, 127, 128, 255, 256, 65_535, 65_536), fc.nat(300), (first, second) => {
      const inner = octetString(Buffer.alloc(first));
      const read = new DerReader(sequence(inner, octetString(Buffer.alloc(second)))).enter(tags.sequence);
      expect([read.take(tags.octetString).length, read.take(tags.octetString).length, read.atEnd]).toEqual([
        first,
        second,
        true,
      ]);
      expect(inner.length - first - 2).toBe(first < 128 ? 0 : first < 256 ? 1 : first < 65_536 ? 2 : 3);
    }),
  );
});

test('DER that is cut short is refused wherever it is cut', () => {
  const whole = sequence(octetString(Buffer.alloc(200)));
  for (let length = 0; length < whole.length; length++)
    expect(() => new DerReader(whole.subarray(0, length)).take(tags.sequence)).toThrow(/not the DER/);
});
