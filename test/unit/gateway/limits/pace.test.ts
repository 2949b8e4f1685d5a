/** The pace of one session: a publish is counted once, however often it has to wait, and nothing stays behind when it passes. */
import { expect, test } from 'vitest';
import { parseDeviceId } from '#common/identity.ts';
import type { CloneWatch } from '../../../../gateway/limits/clone-watch.ts';
import { Meters } from '../../../../gateway/limits/meters.ts';
import { StillClock } from '../../../harness/still-clock.ts';

const publish = { duplicate: false, properties: {} };

function paceOf(messages: string[], patienceMs = 60_000) {
  const clock = new StillClock(0);
  const meters = new Meters({ clock, clones: { counts: false } as CloneWatch, patienceMs, size: 10 });
  const peer = { address: '192.0.2.1:1' } as Parameters<Meters['paceOf']>[2];
  return { clock, pace: meters.paceOf(parseDeviceId('d'), { messages, bytes: [] }, peer)!, meters, peer };
}

test('a device that nothing limits has none', () => {
  const { meters, peer } = paceOf(['1/s']);
  expect(meters.paceOf(parseDeviceId('e'), null, peer)).toBeNull();
});

test('a publish that was counted and waits for something else is not counted again', () => {
  const { pace } = paceOf(['2/s']);
  expect([pace.ask(publish, 1), pace.ask(publish, 1), pace.ask(publish, 1)]).toEqual([0, 0, 0]);
  pace.taken();
  expect(pace.ask(publish, 1)).toBe(0);
  pace.taken();
  expect(pace.ask(publish, 1)).toBe(500);
});

test('going on is asked for once; when the publish has passed meanwhile, not at all', async () => {
  const { pace, clock } = paceOf(['1/s']);
  pace.ask(publish, 1);
  pace.taken();
  let released = 0;
  const release = () => {
    released += 1;
  };
  pace.later(pace.ask(publish, 1), release);
  pace.later(pace.ask(publish, 1), release);
  await clock.move(1_000);
  expect(released).toBe(1);
  expect(pace.ask(publish, 1)).toBe(0);
  pace.taken();
  pace.later(pace.ask(publish, 1) + 500, release);
  await clock.move(1_000);
  expect(pace.ask(publish, 1)).toBe(0);
  await clock.move(5_000);
  expect(released).toBe(1);
});

test('patience ends for one that pushes, and never for one that lets the room come back', async () => {
  const pushy = paceOf(['10/s'], 5_000);
  const push = async () => {
    for (let n = 0; n < 1_000; n++) {
      const waitMs = pushy.pace.ask(publish, 1);
      if (waitMs === 0) pushy.pace.taken();
      else await pushy.clock.move(waitMs);
    }
  };
  await expect(push()).rejects.toThrow(/does not slow down/);
  const calm = paceOf(['10/s'], 5_000);
  for (let n = 0; n < 60; n++) {
    for (let burst = 0; burst < 12; burst++) if (calm.pace.ask(publish, 1) === 0) calm.pace.taken();
    await calm.clock.move(1_500);
  }
});
