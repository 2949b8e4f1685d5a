/** A device's meter: several windows at once, nothing counted of what does not pass, and pressure that is remembered. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { limitsInForce, windowsOf } from '#common/contract/message-limits.ts';
import type { CloneWatch } from '../../../../gateway/limits/clone-watch.ts';
import { Meter } from '../../../../gateway/limits/meter.ts';
import { Meters } from '../../../../gateway/limits/meters.ts';
import { StillClock } from '../../../harness/still-clock.ts';

/** Devices do not count their messages. */
const uncounted = { counts: false } as CloneWatch;

const passed = (meter: Meter, times: number, nowMs: number, bytes = 1): number =>
  Array.from({ length: times }, () => meter.take(1, bytes, nowMs)).filter((waitMs) => waitMs === 0).length;

test('the narrowest window decides, whichever it is', () => {
  const meter = new Meter({ messages: ['10/s', '15/min'], bytes: ['1000B/s'] });
  expect(passed(meter, 20, 0)).toBe(10);
  expect(passed(meter, 20, 1_000)).toBe(5);
  expect(passed(meter, 20, 2_000)).toBe(0);
  expect(passed(meter, 20, 8_000)).toBe(2);
  const bytes = new Meter({ messages: ['10/s'], bytes: ['1000B/s'] });
  expect(passed(bytes, 10, 0, 300)).toBe(3);
});

test('it says when there is room, and then there is', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 900 }), fc.integer({ min: 1, max: 5_000 })), {
        maxLength: 80,
      }),
      (sent) => {
        const meter = new Meter({ messages: ['5/s', '100/min'], bytes: ['4KiB/s'] });
        let nowMs = 0;
        for (const [pauseMs, bytes] of sent) {
          nowMs += pauseMs;
          const waitMs = meter.take(1, bytes, nowMs);
          if (waitMs === 0) continue;
          nowMs += waitMs;
          expect(meter.take(1, bytes, nowMs)).toBe(0);
        }
      },
    ),
  );
});

test('in no time of a window passes more than twice what it says, however it comes', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 200 }), (pauses) => {
      const meter = new Meter({ messages: ['10/s'] });
      const times: number[] = [];
      let nowMs = 0;
      for (const pauseMs of pauses) {
        nowMs += pauseMs;
        if (meter.take(1, 1, nowMs) === 0) times.push(nowMs);
      }
      for (const from of times)
        expect(times.filter((at) => at >= from && at < from + 1000).length).toBeLessThanOrEqual(20);
    }),
  );
});

test('a message of more bytes than a window holds passes when the window is empty', () => {
  const meter = new Meter({ bytes: ['1KiB/s'] });
  expect(meter.take(1, 100_000, 0)).toBe(0);
  expect(meter.take(1, 1, 0)).toBeGreaterThan(0);
  expect(meter.take(1, 100_000, 1_000)).toBe(0);
});

test('pressure lasts as long as it is pushed against, and is over once half of the room is back', () => {
  const meter = new Meter({ messages: ['10/s'] });
  for (let nowMs = 0; nowMs <= 30_000; nowMs += 50) meter.take(1, 1, nowMs);
  expect(meter.pressedForMs(30_000)).toBeGreaterThan(27_000);
  expect(meter.take(1, 1, 31_000)).toBe(0);
  expect(meter.pressedForMs(31_000)).toBe(0);
});

test('of messages and of bytes the most specific that says anything counts', () => {
  const role = { messages: ['1/s'], bytes: ['1KiB/s'] };
  expect(limitsInForce(undefined, undefined, null)).toBeNull();
  expect(limitsInForce(role, null, null)).toEqual(role);
  expect(limitsInForce(role, { messages: ['2/s'] }, null)).toEqual({ messages: ['2/s'], bytes: ['1KiB/s'] });
  expect(limitsInForce(role, { messages: ['2/s'] }, { bytes: [] })).toEqual({ messages: ['2/s'], bytes: [] });
  expect(limitsInForce(role, null, { messages: [], bytes: [] })).toBeNull();
});

test.each(['0/s', '100', '100/week', '1.5/s', '1KiB/s'])('"%s" is no window of messages', (text) =>
  expect(() => windowsOf({ messages: [text] })).toThrow(/no window/),
);

test('at most four windows of a kind', () => {
  expect(() => windowsOf({ bytes: Array(5).fill('1KiB/s') })).toThrow(/At most 4/);
});

test('sessions of a device share its meter, and other limits begin anew', () => {
  const meters = new Meters({ clock: new StillClock(0), clones: uncounted, patienceMs: 1, size: 10 });
  const limits = { messages: ['1/s'], bytes: [] };
  expect(meters.of('d', null)).toBeNull();
  expect(meters.of('d', limits)).toBe(meters.of('d', { ...limits }));
  expect(meters.of('d', limits)).not.toBe(meters.of('e', limits));
  expect(meters.of('d', { messages: ['2/s'], bytes: [] })).not.toBe(meters.of('e', limits));
});

test('a bounded number of devices is remembered', () => {
  const meters = new Meters({ clock: new StillClock(0), clones: uncounted, patienceMs: 1, size: 10 });
  const limits = { messages: ['1/s'], bytes: [] };
  const first = meters.of('d', limits);
  for (let n = 0; n < 10; n++) meters.of(`d${n}`, limits);
  expect(meters.of('d', limits)).not.toBe(first);
});
