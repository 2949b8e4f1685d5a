/** CSV: what RFC 4180 allows is read as it means, however it is cut into chunks; what it does not is refused by its line. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CsvReader } from '../../../cli/csv.ts';

function read(text: string, size = text.length || 1) {
  const reader = new CsvReader();
  const records = [];
  for (let at = 0; at < text.length; at += size) records.push(...reader.push(text.slice(at, at + size)));
  return [...records, ...reader.end()];
}
const fieldsOf = (text: string) => read(text).map(({ fields }) => fields);

test.each([
  [
    'a,b\r\n1,2\r\n',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
  ],
  [
    'a,b\n1,2',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
  ],
  [
    'a,,c\n,,\n',
    [
      ['a', '', 'c'],
      ['', '', ''],
    ],
  ],
  ['"a,b","c""d"\n', [['a,b', 'c"d']]],
  ['"a\r\nb",c\n', [['a\r\nb', 'c']]],
  ['"",x\n', [['', 'x']]],
  ['""\n', [['']]],
  [' a , b \n', [[' a ', ' b ']]],
  ['a\n\n\r\nb\n', [['a'], ['b']]],
  ['é,日本\n', [['é', '日本']]],
  ['', []],
])('%j', (text, records) => expect(fieldsOf(text)).toEqual(records));

test.each([
  ['a"b\n', 1, /within a field/],
  ['x\n"a"b\n', 2, /follows the quote/],
  ['x\ny\n"a\nb', 4, /not closed/],
  ['a\rb\n', 1, /carriage return/],
  ['a\r', 1, /carriage return/],
])('%j is refused at its line', (text, line, why) => {
  expect(() => read(text)).toThrow(why);
  expect(() => read(text)).toThrow(`line ${line}:`);
});

test('records know the line that they begin at', () =>
  expect(read('a\n"b\nc"\nd\n').map(({ line }) => line)).toEqual([1, 2, 4]));

test('a quote that is never closed ends at a bound', () =>
  expect(() => read(`"${'x'.repeat(1_000_001)}`)).toThrow(/1000000 characters/));

test('what was written is read, in chunks of any size', () => {
  const quote = (field: string) => `"${field.replaceAll('"', '""')}"`;
  const table = fc.array(fc.array(fc.string(), { minLength: 2, maxLength: 5 }), { maxLength: 5 });
  fc.assert(
    fc.property(table, fc.integer({ min: 1, max: 9 }), (rows, size) => {
      const text = rows.map((row) => `${row.map(quote).join(',')}\r\n`).join('');
      expect(read(text, size).map(({ fields }) => fields)).toEqual(rows);
    }),
  );
});
