/** Sightings: few, in batches, kept while the registry is away, and never more than there is room for. */
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { AskRegistry, Sighting } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import type { Fingerprint } from '#common/identity.ts';
import { silentLog } from '#common/log.ts';
import { Sightings, type SightingsParts } from '../../../../gateway/upstream/sightings.ts';

let away = false;
let reports: (readonly Sighting[])[] = [];
const open: Sightings[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
  away = false;
  reports = [];
});

/** Flushed by the test alone. */
function sightingsOf(more: Partial<SightingsParts> = {}): Sightings {
  const ask = (async (_kind: string, { sightings }: { sightings: readonly Sighting[] }) => {
    if (away) throw new Fault('unavailable', 'The registry is away.');
    reports.push(sightings);
    return null;
  }) as unknown as AskRegistry;
  const sightings = new Sightings({
    ask,
    clock: systemClock,
    log: silentLog,
    intervalMs: 1000,
    flushMs: 3_600_000,
    ...more,
  });
  open.push(sightings);
  return sightings;
}
const f = (name: string) => name as Fingerprint;

test('a certificate is reported once an interval, however often it comes in', async () => {
  const sightings = sightingsOf();
  for (const atMs of [0, 1, 999]) sightings.saw(f('a'), atMs);
  await sightings.flush();
  sightings.saw(f('a'), 999);
  await sightings.flush();
  sightings.saw(f('a'), 1000);
  await sightings.flush();
  expect(reports).toEqual([[{ fingerprint: 'a', atMs: 0 }], [{ fingerprint: 'a', atMs: 1000 }]]);
});

test('a report has at most a thousand; the rest follows at once', async () => {
  const sightings = sightingsOf();
  for (let n = 0; n < 2500; n++) sightings.saw(f(`f${n}`), n);
  await sightings.flush();
  expect(reports.map(({ length }) => length)).toEqual([1000, 1000, 500]);
});

test('what the registry did not hear is said again when it is back', async () => {
  const sightings = sightingsOf();
  away = true;
  sightings.saw(f('a'), 5);
  await sightings.flush();
  away = false;
  await sightings.flush();
  expect(reports).toEqual([[{ fingerprint: 'a', atMs: 5 }]]);
});

test('while it is away the oldest is dropped for the newest', async () => {
  const sightings = sightingsOf({ mostWaiting: 2 });
  away = true;
  for (const [atMs, name] of ['a', 'b', 'c'].entries()) sightings.saw(f(name), atMs);
  await sightings.flush();
  away = false;
  await sightings.flush();
  expect(reports).toEqual([
    [
      { fingerprint: 'b', atMs: 1 },
      { fingerprint: 'c', atMs: 2 },
    ],
  ]);
});

test('of what was reported two generations are remembered, and no more', async () => {
  const sightings = sightingsOf({ generation: 2 });
  for (const name of ['a', 'b', 'c', 'd']) sightings.saw(f(name), 0);
  await sightings.flush();
  for (const name of ['a', 'd']) sightings.saw(f(name), 1);
  sightings.saw(f('e'), 1);
  await sightings.flush();
  sightings.saw(f('a'), 2);
  await sightings.flush();
  expect(reports.flat().map(({ fingerprint }) => fingerprint)).toEqual(['a', 'b', 'c', 'd', 'e', 'a']);
});

test('what has gathered is said at the end', async () => {
  const sightings = sightingsOf();
  sightings.saw(f('a'), 1);
  await sightings[Symbol.asyncDispose]();
  expect(reports).toHaveLength(1);
});
