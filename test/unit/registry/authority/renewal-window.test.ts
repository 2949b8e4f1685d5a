/** The window of renewals: within what the profile says, and even, so that the forecast of a fleet is flat. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { FleetId } from '#common/identity.ts';
import { Forecast } from '../../../../registry/authority/forecast.ts';
import { EvenShares, renewAfterMs } from '../../../../registry/authority/renewal-window.ts';
import { Store } from '../../../../registry/store/store.ts';

const day = 86_400_000;
const window = { from: 60, to: 80 };

test('the first and the last moment are those of the profile, counted from issuance', () => {
  expect(renewAfterMs(1000, 2000, window, 0)).toBe(1600);
  expect(renewAfterMs(1000, 2000, window, 1)).toBe(1800);
});

test('shares are even in every fleet, however many were dealt, and whoever came between', () => {
  const shares = new EvenShares(0.3);
  const dealt: number[] = [];
  for (let n = 0; n < 1000; n++) {
    dealt.push(shares.next('plant'));
    if (n % 3 === 0) shares.next('yard');
  }
  const tenths = Array(10).fill(0);
  for (const share of dealt) tenths[Math.floor(share * 10)] += 1;
  for (const count of tenths) expect(Math.abs(count - 100)).toBeLessThanOrEqual(3);
});

test('two starts do not begin alike', () => {
  expect(new EvenShares().next('plant')).not.toBe(new EvenShares().next('plant'));
});

test('ten thousand devices enrolled in one hour: no day has 1.25 times the mean of its window', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forecast-'));
  const store = Store.open(dir);
  try {
    const nowMs = systemClock.now();
    const shares = new EvenShares();
    const rows = Array.from({ length: 10_000 }, (_, n) => {
      const issuedMs = nowMs - 3_600_000 + n * 360;
      const notAfterMs = issuedMs + 365 * day;
      return [n, issuedMs, notAfterMs, renewAfterMs(issuedMs, notAfterMs, window, shares.next('plant'))];
    });
    await store.writer.write(async (write) => {
      await sql`INSERT INTO fleets (id, role, created_ms) VALUES ('plant', 'device', 0), ('other', 'device', 0)`.execute(
        write,
      );
      await sql`INSERT INTO certificates (issuer, serial, fingerprint, device, fleet, state, key_hash, profile, plan, source,
          reserved_ms, not_before_ms, not_after_ms, renew_after_ms)
        SELECT 'issuing', value ->> 0, 'f' || (value ->> 0), 'd' || (value ->> 0), 'plant', 'issued', value ->> 0, 'device', '',
          'system', value ->> 1, value ->> 1, value ->> 2, value ->> 3 FROM json_each(${JSON.stringify(rows)})`.execute(
        write,
      );
    });
    const forecast = new Forecast({ read: store.read, clock: systemClock });
    const { buckets, later, overdue, expired } = await forecast.of('plant' as FleetId, 300);
    expect([later, overdue, expired]).toEqual([0, 0, 0]);
    const due = buckets.map(({ renewals }) => renewals).filter((renewals) => renewals > 0);
    expect(due.reduce((sum, renewals) => sum + renewals, 0)).toBe(10_000);
    const mean = 10_000 / (365 * 0.2);
    expect(Math.max(...due)).toBeLessThanOrEqual(1.25 * mean);
    expect(due.length).toBeLessThanOrEqual(75);
    expect((await forecast.of('other' as FleetId, 300)).buckets.every(({ renewals }) => renewals === 0)).toBe(
      true,
    );
    await expect(forecast.of('none' as FleetId, 1)).rejects.toMatchObject({ kind: 'not-found' });
  } finally {
    await store[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  }
});
