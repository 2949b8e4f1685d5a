/** Limits before TLS: counted by neighbourhood, given back, and refilled by time alone. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Clock, systemClock } from '#common/clock.ts';
import { gcra } from '#common/gcra.ts';
import { ConnectLimits, neighbourhood, networkOf } from '../../../../gateway/door/connect-limits.ts';
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
      connectionsPerNetwork: 100,
      connectRatePerNetwork: 1000,
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

test('many addresses of one network do not get around the limit of one', () => {
  const door = limits({ connectionsPerNetwork: 2, connectRatePerNetwork: 2 });
  const addresses = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '198.51.100.1'];
  expect(addresses.map((address) => door.enter(address))).toEqual([null, null, 'connection-limit', null]);
  for (const address of ['192.0.2.1', '192.0.2.2']) door.leave(address);
  const sprayed = Array.from({ length: 9 }, (_, n) => `2001:db8:7:${n}::1`).map((address) => {
    const refusal = door.enter(address);
    if (refusal === null) door.leave(address);
    return refusal;
  });
  expect(sprayed.filter((refusal) => refusal === null)).toHaveLength(4);
  expect(sprayed.at(-1)).toBe('connection-rate');
});

test('places are given back to the last one, whatever came in between', () => {
  const door = limits({ connections: 1 });
  for (let n = 0; n < 300; n++) {
    expect(door.enter(`192.0.2.${n % 256}`)).toBeNull();
    expect(door.enter('198.51.100.1')).toBe('connection-limit');
    door.leave(`192.0.2.${n % 256}`);
  }
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

test.each([
  ['192.0.2.7', '192.0.2.0/24'],
  ['2001:db8:1:2', '2001:db8:1::/48'],
  ['0:0:0:0', '0:0:0::/48'],
])('%s is of the network %s', (name, expected) => expect(networkOf(name)).toBe(expected));

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
