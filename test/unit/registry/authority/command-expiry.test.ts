/** The end of commands: told once each, and forgotten when nobody can ask for them any more. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openMetrics } from '#common/metrics.ts';
import { Audit } from '../../../../registry/authority/audit.ts';
import { CommandExpiry } from '../../../../registry/authority/command-expiry.ts';
import { CommandOutcomes } from '../../../../registry/authority/command-outcomes.ts';
import { alter, nextRevision } from '../../../../registry/authority/command-state.ts';
import { CommandWaits } from '../../../../registry/authority/command-waits.ts';
import { Store } from '../../../../registry/store/store.ts';
import { MovableClock } from '../../../harness/timed-house.ts';

let dir: string;
let store: Store;
let clock: MovableClock;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'store-'));
  store = Store.open(dir);
  clock = new MovableClock();
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const day = 86_400_000;

function open() {
  const { read, writer } = store;
  const metrics = openMetrics();
  const outcomes = new CommandOutcomes({ read, waits: new CommandWaits(clock, 10), metrics });
  const parts = { read, writer, audit: new Audit(read, clock), outcomes, metrics, clock };
  return { expiry: new CommandExpiry({ ...parts, retentionMs: day }), outcomes };
}

const put = (id: string, ttlMs: number) =>
  store.writer.write((write) =>
    write
      .insertInto('commands')
      .values({
        id,
        device: 'pump',
        name: 'open',
        payload: Buffer.alloc(0),
        content_type: '',
        state: 'queued',
        sender: 'api:admin',
        created_ms: clock.now(),
        expires_ms: clock.now() + ttlMs,
        attempts: 0,
        revision: nextRevision,
      })
      .execute(),
  );

const left = async () =>
  (await store.read.selectFrom('commands').select('id').orderBy('number').execute()).map(({ id }) => id);

test('those whose time is over expire in lots, each once; a delivered one does not', async () => {
  const { expiry, outcomes } = open();
  await Promise.all(Array.from({ length: 250 }, (_, n) => put(`a${n}`, 1_000)));
  await put('later', 60_000);
  await store.writer.write((write) => alter(write, 'a0', { state: 'delivered', delivered_ms: clock.now() }));
  clock.aheadMs += 2_000;
  expect(await expiry.sweep()).toBe(249);
  expect(await expiry.sweep()).toBe(0);
  const told = await outcomes.since(0, 1_000);
  expect(told.filter(({ state }) => state === 'expired')).toHaveLength(249);
  expect(told.map(({ revision }) => revision)).toEqual(
    told.map(({ revision }) => revision).sort((a, b) => a - b),
  );
});

test('what ended is forgotten after its time, the newest change excepted, so that revisions go on', async () => {
  const { expiry } = open();
  await Promise.all(Array.from({ length: 150 }, (_, n) => put(`a${n}`, 1_000)));
  clock.aheadMs += 2_000;
  await expiry.sweep();
  expect(await expiry.purge()).toBe(0);
  clock.aheadMs += 2 * day;
  expect(await expiry.purge()).toBe(149);
  const [newest] = await left();
  expect(newest).toBeDefined();
  await put('next', 1_000);
  const [{ revision }] = (await store.read
    .selectFrom('commands')
    .select('revision')
    .where('id', '=', 'next')
    .execute()) as [{ revision: number }];
  expect(revision).toBe(301);
});
