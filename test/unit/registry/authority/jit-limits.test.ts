/** How many devices an anchor brings in, and how fast: counted once, then kept, and counted anew where the limit is reached. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { JitLimits } from '../../../../registry/authority/jit-limits.ts';
import { Store } from '../../../../registry/store/store.ts';
import { StillClock } from '../../../harness/still-clock.ts';

let dir: string;
let store: Store;
const clock = new StillClock(1_780_000_000_000);

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'jit-'));
  store = Store.open(dir);
  await store.writer.write(async (write) => {
    await write
      .insertInto('fleets')
      .values({
        id: 'plant',
        role: 'device',
        profile: 'device',
        approval: 'automatic',
        grace_ms: 0,
        skew_ms: 0,
        created_ms: 0,
      })
      .execute();
  });
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const add = (device: string) =>
  store.writer.write(async (write) => {
    const times = {
      created_ms: 0,
      updated_ms: 0,
      assigned_role: null,
      last_issuer: null,
      last_seen_ms: null,
    };
    await write
      .insertInto('devices')
      .values({ id: device, fleet: 'plant', state: 'active', role: null, attributes: '{}', ...times })
      .execute();
    const nulls = {
      der: null,
      csr_hash: null,
      revoked_ms: null,
      reason: null,
      replaces: null,
      used_ms: null,
      seen_ms: null,
      retire_ms: null,
      renew_after_ms: null,
      status_until_ms: null,
    };
    const words = {
      issuer: 'acme',
      profile: '',
      plan: '',
      source: '',
      state: 'issued' as const,
      fleet: 'plant',
    };
    await write
      .insertInto('certificates')
      .values({
        ...nulls,
        ...words,
        serial: device,
        fingerprint: device,
        device,
        key_hash: device,
        not_before_ms: 0,
        not_after_ms: 1,
        reserved_ms: 0,
      })
      .execute();
  });

test('the count of devices is a bound, which deleted ones leave', async () => {
  await add('a');
  await add('b');
  const limits = new JitLimits({ read: store.read, maxDevices: 3, perSecond: 1000, clock });
  await limits.prepare('acme');
  limits.judge('acme');
  limits.counted('acme');
  expect(() => limits.judge('acme')).toThrow(/as many as it may/);
  await limits.prepare('other');
  limits.judge('other');
  await store.writer.write((write) =>
    write.updateTable('devices').set({ state: 'deleted' }).where('id', '=', 'a').execute(),
  );
  await limits.prepare('acme');
  expect(() => limits.judge('acme')).toThrow(/as many as it may/);
  await clock.move(10_000);
  await limits.prepare('acme');
  limits.judge('acme');
});

test('the rate is another, for each anchor', async () => {
  const limits = new JitLimits({ read: store.read, maxDevices: 100, perSecond: 2, clock });
  for (let n = 0; n < 4; n++) limits.judge('acme');
  expect(() => limits.judge('acme')).toThrow(/Too many new devices/);
  limits.judge('other');
  await clock.move(500);
  limits.judge('acme');
  expect(() => limits.judge('acme')).toThrow(/Too many new devices/);
});
