/** Durations, sizes, thresholds, backoff, names: small arithmetic that much rests on. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffMs } from '#common/backoff.ts';
import { isDeviceId, parseFingerprint } from '#common/identity.ts';
import { parseDuration, parseSize } from '#common/quantity.ts';
import { holds, parseThreshold } from '../../../simulator/threshold.ts';

test.each([
  ['250ms', 250],
  ['90s', 90_000],
  ['1.5m', 90_000],
  ['12h', 43_200_000],
  ['30d', 2_592_000_000],
])('%s is %i ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

test.each([
  ['512B', 512],
  ['64KiB', 65_536],
  ['10MB', 10_000_000],
  ['4GiB', 4_294_967_296],
])('%s is %i bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

test.each(['', '5', 's', '-5s', '5 s', '5S', '1e3s', '5sec', '٥s'])('%j is no duration', (text) =>
  expect(() => parseDuration(text)).toThrow(/not a duration/),
);

describe('thresholds', () => {
  const names = ['connect.p99', 'lost', 'errors'];
  test.each([
    ['connect.p99<2s', 1999, true],
    ['connect.p99<2s', 2000, false],
    ['connect.p99 <= 2s', 2000, true],
    ['lost==0', 0, true],
    ['lost==0', 1, false],
    ['errors>=3', 3, true],
    ['errors>3', 3, false],
  ])('%s of %i: %s', (text, actual, expected) =>
    expect(holds(parseThreshold(text, names), actual)).toBe(expected),
  );
  test.each(['', 'p99<2s', 'connect.p98<2s', 'lost=0', 'lost==', 'nothing<1'])('%j is none', (text) =>
    expect(() => parseThreshold(text, names)).toThrow(),
  );
});

test('backoff doubles to its limit, and jitter takes at most half', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (attempt, random) => {
        const pause = backoffMs({ firstMs: 200, limitMs: 30_000 }, attempt, random);
        const ceiling = Math.min(30_000, 200 * 2 ** (attempt - 1));
        expect(pause).toBeGreaterThanOrEqual(ceiling / 2);
        expect(pause).toBeLessThanOrEqual(ceiling);
      },
    ),
  );
});

test('no device id means anything in a topic, a path or a URI', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 70 }), (text) => {
      if (!isDeviceId(text)) return;
      expect(text).not.toMatch(/[+#/\0$%?&\s"<>\\]/);
      expect(encodeURI(text)).toBe(text);
      expect(text.length).toBeLessThanOrEqual(64);
    }),
  );
  for (const bad of ['', '.a', '-a', 'a\n', 'a/b', '+', '#', 'ä', 'a'.repeat(65)])
    expect(isDeviceId(bad)).toBe(false);
});

test('fingerprints are read as openssl prints them', () => {
  const plain = 'ab'.repeat(32);
  expect(parseFingerprint('AB:'.repeat(31).concat('AB'))).toBe(plain);
  expect(() => parseFingerprint('ab')).toThrow();
});
