/** Flapping: who comes too often is kept out, longer each time; who comes once is not even remembered. */
import { expect, test } from 'vitest';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import { Flapping } from '../../../../gateway/limits/flapping.ts';
import { StillClock } from '../../../harness/still-clock.ts';

function flappingOf(size = 100) {
  const clock = new StillClock(0);
  let bans = 0;
  const flapping = new Flapping({
    clock,
    connects: 10,
    windowMs: 60_000,
    banMs: 30_000,
    longestBanMs: 300_000,
    size,
    onBan: () => {
      bans += 1;
    },
  });
  const entry = (n: number) =>
    ({
      device: `d${n}`,
      fingerprint: ((n * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, '0'),
    }) as DirectoryEntry;
  return { clock, come: (n = 1) => flapping.judge(entry(n)), bans: () => bans };
}

test('as many connects as allowed pass, the next is refused with a time to come again', () => {
  const { come, bans } = flappingOf();
  expect(Array.from({ length: 10 }, () => come()).filter((fault) => fault !== null)).toEqual([]);
  expect(come()).toMatchObject({ kind: 'flapping', retryAfterMs: 30_000 });
  expect(bans()).toBe(1);
});

test('knocking during a ban does not prolong it, and after it a whole window passes', async () => {
  const { clock, come } = flappingOf();
  for (let n = 0; n < 11; n++) come();
  await clock.move(29_000);
  expect(come()).toMatchObject({ retryAfterMs: 1_000 });
  await clock.move(1_001);
  expect(Array.from({ length: 9 }, () => come()).filter((fault) => fault !== null)).toEqual([]);
});

test('a ban grows as long as it goes on, up to the longest, and who behaves begins anew', async () => {
  const { clock, come } = flappingOf();
  const ban = async () => {
    for (;;) {
      const fault = come();
      if (fault) return fault.retryAfterMs!;
    }
  };
  const bans: number[] = [];
  for (let n = 0; n < 6; n++) {
    bans.push(await ban());
    await clock.move(bans.at(-1)! + 1);
  }
  expect(bans).toEqual([30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
  await clock.move(300_000);
  expect(await ban()).toBe(30_000);
});

test('a device that reconnects at its leisure is never refused', async () => {
  const { clock, come } = flappingOf();
  for (let n = 0; n < 500; n++) {
    expect(come()).toBeNull();
    await clock.move(6_001);
  }
});

test('a storm in which each comes once or twice bans nobody, and memory stays bounded', () => {
  const { come, bans } = flappingOf(100);
  for (let round = 0; round < 2; round++) for (let n = 0; n < 50_000; n++) expect(come(n)).toBeNull();
  expect(bans()).toBe(0);
});

test('one that was forgotten for others is counted anew, not refused', () => {
  const { come } = flappingOf(2);
  for (let n = 0; n < 11; n++) come(1);
  for (let other = 2; other < 6; other++) for (let n = 0; n < 3; n++) come(other);
  expect(come(1)).toBeNull();
});
