/** Spools and files of several processes in one folder: told apart by a label, and taken over when there are fewer. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { DeviceEvent } from '#common/contract/event.ts';
import { FileBackend } from '../../../../gateway/telemetry/backends/file.ts';
import { leftoverSpools } from '../../../../gateway/telemetry/leftover-spools.ts';
import { Spool, spoolFile } from '../../../../gateway/telemetry/spool.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'labels-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

function leave(label: string, events: number): void {
  using spool = Spool.open(join(dir, spoolFile(label)), ['lake']);
  if (events > 0)
    spool.commit(
      [{ body: Buffer.from('x'), count: events, timeMs: 1, routed: new Map([['lake', events]]) }],
      new Map(),
      new Map(),
    );
}

test('spools with something in them fall to those that are there, each to one', async () => {
  leave('', 1);
  for (const worker of [2, 3, 4, 5, 6]) leave(String(worker), worker === 4 ? 0 : 1);
  writeFileSync(join(dir, 'spool-7.db'), '');
  expect(await leftoverSpools(dir, 1, 1)).toEqual(['2', '3', '5', '6']);
  expect(await leftoverSpools(dir, 1, 2)).toEqual(['3', '5']);
  expect(await leftoverSpools(dir, 2, 2)).toEqual(['6']);
  expect(await leftoverSpools(dir, 3, 6)).toEqual([]);
});

const settings = {
  type: 'file',
  path: '',
  linger: 0,
  rotateSize: 1_000_000,
  rotateInterval: 3_600_000,
} as const;
const event: DeviceEvent = {
  id: 'e-1',
  sequence: 1,
  fleet: 'plant',
  device: 'pump',
  class: 'telemetry',
  channel: '',
  timeMs: 0,
  contentType: '',
  payload: Buffer.from('1'),
};

test('a file that another process is writing is not repaired under its hands', async () => {
  const still = { ...systemClock, now: () => 1_800_000_000_000 };
  const first = await FileBackend.open(dir, settings, still);
  await first.deliver([event]);
  const [name] = readdirSync(dir);
  const line = readFileSync(join(dir, name!), 'utf8');
  // Half a line of the first: it may be writing it at this moment.
  writeFileSync(join(dir, name!), `${line}{"half`);
  const second = await FileBackend.open(dir, settings, still, '2');
  await second.deliver([event]);
  expect(readFileSync(join(dir, name!), 'utf8')).toBe(`${line}{"half`);
  expect(readdirSync(dir).sort()).toEqual([
    '2027-01-15T08-00-00.000Z.2.ndjson',
    '2027-01-15T08-00-00.000Z.ndjson',
  ]);
  await first[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
  // Its own next start does it.
  writeFileSync(join(dir, '2027-01-15T08-00-00.000Z.2.ndjson'), `${line}{"torn`);
  await (await FileBackend.open(dir, settings, still))[Symbol.asyncDispose]();
  expect(readFileSync(join(dir, name!), 'utf8')).toBe(line);
  expect(readFileSync(join(dir, '2027-01-15T08-00-00.000Z.2.ndjson'), 'utf8')).toBe(`${line}{"torn`);
  await (await FileBackend.open(dir, settings, still, '2'))[Symbol.asyncDispose]();
  expect(readFileSync(join(dir, '2027-01-15T08-00-00.000Z.2.ndjson'), 'utf8')).toBe(line);
});
