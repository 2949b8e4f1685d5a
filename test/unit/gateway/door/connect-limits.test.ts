/** Limits before TLS: counted by neighbourhood, given back, and refilled by time alone. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Clock, systemClock } from '#common/clock.ts';
import { gcra } from '#common/gcra.ts';
import { ConnectLimits, neighbourhood } from '../../../../gateway/door/connect-limits.ts';
import type { LimitSettings } from '../../../../gateway/settings.ts';

let nowMs = 0;
const clock: Clock = { ...systemClock, elapsed: () => nowMs };
const limits = (settings: Partial<LimitSettings>) =>
  new ConnectLimits(
    {
      connections: 100,
      connectionsPerAddress: 100,
      connectRate: 1000,
      connectRatePerAddress: 1000,
      ...settings,
    } as LimitSettings,
    clock,
  );

test('a place is taken and given back', () => {
  const door = limits({ connections: 2 });
  expect([door.enter('a'), door.enter('b'), door.enter('c')]).toEqual([null, null, 'connection-limit']);
  door.leave('a');
  expect(door.enter('c')).toBeNull();
});

test('one address cannot take the places of all', () => {
  const door = limits({ connectionsPerAddress: 2 });
  expect([door.enter('a'), door.enter('a'), door.enter('a'), door.enter('b')]).toEqual([
    null,
    null,
    'connection-limit',
    null,
  ]);
});

test('the rate refills with time', () => {
  nowMs = 1_000_000;
  const door = limits({ connectRatePerAddress: 10 });
  const burst = Array.from({ length: 25 }, () => door.enter('a'));
  expect(burst.filter((refusal) => refusal === null)).toHaveLength(20);
  expect(burst.at(-1)).toBe('connection-rate');
  nowMs += 500;
  expect(Array.from({ length: 8 }, () => door.enter('a')).filter((refusal) => refusal === null)).toHaveLength(
    5,
  );
});

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::9', '2001:db8:1:2'],
  ['2001:db8::9', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
])('%s counts as %s', (address, expected) => expect(neighbourhood(address)).toBe(expected));

test('GCRA never lets through more than burst and rate allow, whenever they come', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 200 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 20 }),
      (pauses, perSecond, burst) => {
        let theoretical = 0;
        let at = 10_000;
        let allowed = 0;
        const begun = at;
        for (const pause of pauses) {
          at += pause;
          const answer = gcra({ perSecond, burst }, theoretical, at);
          theoretical = answer.nextMs;
          if (answer.allowed) allowed += 1;
          else expect(gcra({ perSecond, burst }, theoretical, at + answer.retryAfterMs).allowed).toBe(true);
        }
        expect(allowed).toBeLessThanOrEqual(burst + Math.ceil(((at - begun) / 1000) * perSecond) + 1);
      },
    ),
  );
});
