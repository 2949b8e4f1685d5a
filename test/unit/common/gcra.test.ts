/** The rate limit: a burst passes, then the sustained rate, and a clock that was set back locks nobody out. */
import { expect, test } from 'vitest';
import { RateLimiter } from '#common/gcra.ts';

test('a burst passes, then one an interval', () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 3 });
  expect([0, 0, 0, 0].map((atMs) => limiter.take('a', atMs).allowed)).toEqual([true, true, true, false]);
  expect(limiter.take('a', 1000).allowed).toBe(true);
  expect(limiter.take('a', 1000)).toMatchObject({ allowed: false, retryAfterMs: 1000 });
});

test('after the clock was set back an hour nobody waits for an hour', () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 3 });
  const laterMs = 3_600_000;
  for (let n = 0; n < 4; n++) limiter.take('a', laterMs);
  expect([0, 0, 0, 0].map(() => limiter.take('a', 0).allowed)).toEqual([true, true, true, false]);
});
