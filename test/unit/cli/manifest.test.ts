/** Lists of devices: CSV and NDJSON say the same, and a row that says nothing sensible is told by its line. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readManifest } from '../../../cli/manifest.ts';

const dir = mkdtempSync(join(tmpdir(), 'manifest-'));
afterAll(() => rmSync(dir, { recursive: true }));

async function rowsOf(name: string, text: string) {
  writeFileSync(join(dir, name), text);
  const rows = [];
  for await (const row of readManifest(join(dir, name))) rows.push(row);
  return rows;
}
const said = async (name: string, text: string) =>
  (await rowsOf(name, text)).map((row) => ('fault' in row ? row.fault.message : row.device));

test('CSV and NDJSON of the same devices are the same', async () => {
  const csv = '\ufeffid,fleet,attributes.site,role\r\npump-1,plant,"Turin, hall 4",\r\npump-2,,,gauge\r\n';
  const ndjson =
    '{"id":"pump-1","fleet":"plant","attributes":{"site":"Turin, hall 4"}}\n\n{"id":"pump-2","role":"gauge"}\n';
  expect(await said('a.csv', csv)).toEqual(await said('a.ndjson', ndjson));
});

test('a row that is broken is told by its line, and the others are read', async () => {
  const csv = await rowsOf('b.csv', 'id,attributes.x\na,1\nb\nc,2,3\nd,4\n');
  expect(csv.map((row) => [row.line, 'fault' in row])).toEqual([
    [2, false],
    [3, true],
    [4, true],
    [5, false],
  ]);
  const lines = await rowsOf('b.ndjson', '{"id":"a"}\n{"id":\n[]\n"x"\n{"name":"y"}\n{"id":"b"}\n');
  expect(lines.map((row) => 'fault' in row)).toEqual([false, true, true, true, true, false]);
});

test.each([
  ['an unknown column', 'id,colour\n', /column "colour"/],
  ['no id', 'fleet\nplant\n', /"id" among them/],
  ['a column named twice', 'id,role,role\n', /twice/],
  ['an attribute without a name', 'id,attributes.\n', /attributes\./],
])('a header with %s is refused', async (_what, text, why) => {
  await expect(rowsOf('c.csv', text)).rejects.toThrow(why);
});

test('a row is known again by what it says, not by where it stands', async () => {
  const [one, two] = [await rowsOf('d.csv', 'id\na\nb\n'), await rowsOf('d.csv', 'id\nb\na\n')];
  expect(one[0]?.hash).toBe(two[1]?.hash);
  expect(one[0]?.hash).not.toBe(one[1]?.hash);
});

test('an attribute named like a part of every object is an attribute', async () => {
  const [row] = await rowsOf('e.csv', 'id,attributes.__proto__,attributes.constructor\na,1,2\n');
  expect(row && 'device' in row && Object.entries(row.device.attributes ?? {})).toEqual([
    ['__proto__', '1'],
    ['constructor', '2'],
  ]);
});
