/** Lines out of a stream: each with its number, none longer than the bound, whatever the chunks are. */
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { linesOf } from '../../../../registry/api/ndjson.ts';

async function read(bytes: Buffer, size: number, most = 10) {
  const chunks = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
  const lines = [];
  for await (const { number, text } of linesOf(Readable.from(chunks), most)) lines.push([number, text]);
  return lines;
}

test.each([1, 2, 3, 7, 100])('in chunks of %i bytes', async (size) => {
  const text = Buffer.from('one\r\n\n  two  \né\nexactly-10\nmore than 10\nlast');
  expect(await read(text, size)).toEqual([
    [1, 'one'],
    [3, 'two'],
    [4, 'é'],
    [5, 'exactly-10'],
    [6, null],
    [7, 'last'],
  ]);
});

test('bytes that are no UTF-8 are no line, and the next one is', async () =>
  expect(await read(Buffer.from([0xff, 0x0a, 0x61, 0x0a]), 3)).toEqual([
    [1, null],
    [2, 'a'],
  ]));

test('a line of a gigabyte is passed over in the memory of a chunk', async () => {
  const chunk = Buffer.alloc(1024 * 1024, 0x61);
  async function* endless() {
    for (let n = 0; n < 1024; n++) yield chunk;
    yield Buffer.from('\nend');
  }
  const before = process.memoryUsage().arrayBuffers;
  const lines = [];
  for await (const { number, text } of linesOf(endless(), 100)) lines.push([number, text]);
  expect(lines).toEqual([
    [1, null],
    [2, 'end'],
  ]);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
});
