/** What concerns many devices is done in lots: bounded, with a turn of the loop between, and finished after a crash. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock as clock } from '#common/clock.ts';
import { parseFleetId } from '#common/identity.ts';
import { silentLog } from '#common/log.ts';
import { openMetrics } from '#common/metrics.ts';
import { Audit } from '../../../../registry/authority/audit.ts';
import { BulkRevocation } from '../../../../registry/authority/bulk-revocation.ts';
import { lotSize } from '../../../../registry/authority/bulk-target.ts';
import { Feed } from '../../../../registry/authority/feed.ts';
import { Gateways } from '../../../../registry/authority/gateways.ts';
import { RoleAssignments } from '../../../../registry/authority/role-assignments.ts';
import { Store } from '../../../../registry/store/store.ts';
import type { Tables } from '../../../../registry/store/tables.ts';

const devices = 450;
const plant = parseFleetId('plant');
let dir: string;
let store: Store;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lots-'));
  store = Store.open(dir);
  await store.writer.write(async (write) => {
    const terms = { approval: 'automatic', grace_ms: 0, skew_ms: 0, created_ms: 0, profile: 'device' };
    await write
      .insertInto('fleets')
      .values({ id: 'plant', role: 'device', ...terms })
      .execute();
    for (const name of ['device', 'gauge'])
      await write
        .insertInto('roles')
        .values({ name, document: JSON.stringify({ name, rules: [] }) })
        .execute();
    for (let n = 0; n < devices; n++) {
      await write.insertInto('devices').values(deviceRow(n)).execute();
      for (const which of ['a', 'b', 'c'])
        await write.insertInto('certificates').values(certificateRow(n, which)).execute();
    }
  });
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const id = (n: number) => `pump-${String(n).padStart(4, '0')}`;
const deviceRow = (n: number): Tables['devices'] => ({
  id: id(n),
  fleet: 'plant',
  state: 'active',
  role: null,
  attributes: JSON.stringify({ kind: n % 2 ? 'gauge' : 'pump' }),
  created_ms: 0,
  updated_ms: 0,
  assigned_role: null,
  last_issuer: null,
  last_seen_ms: null,
  limits: null,
  suspicion: null,
});
const certificateRow = (n: number, which: string): Tables['certificates'] => ({
  issuer: 'issuing',
  serial: `${which}${n}`,
  fingerprint: which + String(n).padStart(63, '0'),
  device: id(n),
  fleet: 'plant',
  state: which === 'a' ? 'issued' : 'held',
  key_hash: `${n}`,
  profile: 'device',
  plan: '{}',
  der: null,
  source: 'system',
  csr_hash: null,
  not_before_ms: 0,
  not_after_ms: 9e12,
  reserved_ms: 0,
  revoked_ms: null,
  reason: null,
  replaces: null,
  used_ms: null,
  seen_ms: null,
  retire_ms: null,
  renew_after_ms: null,
  status_until_ms: null,
});

function partsOf() {
  const { read, writer } = store;
  const feed = new Feed(read, clock);
  const audit = new Audit(read, clock);
  const gateways = new Gateways({ feed, metrics: openMetrics(), clock, log: silentLog, timeoutMs: 1000 });
  return { read, writer, feed, audit, gateways, clock };
}

const count = async (state: string) => {
  const rows = await store.read
    .selectFrom('certificates')
    .select('serial')
    .where('state', '=', state as 'held')
    .execute();
  return rows.length;
};

test('no lot has more certificates than the limit, and the loop has turns between', async () => {
  const parts = partsOf();
  let turns = 0;
  let running = true;
  const turn = () => {
    turns += 1;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  const receipt = await new BulkRevocation(parts).revoke({ fleet: plant }, 'superseded', 'me');
  running = false;
  expect(receipt).toMatchObject({ devices, certificates: 3 * devices, complete: true });
  expect(receipt.lots).toBeGreaterThanOrEqual((3 * devices) / lotSize);
  expect(turns).toBeGreaterThanOrEqual(receipt.lots);
  const changes = await parts.feed.since(0, 500);
  expect(changes).toHaveLength(receipt.lots);
  // Whole devices: the largest multiple of three.
  expect(Math.max(...changes.map(({ entries }) => entries.length))).toBe(lotSize - (lotSize % 3));
  expect(await count('revoked')).toBe(3 * devices);
  expect(await parts.audit.verify()).toMatchObject({ intact: true, entries: receipt.lots });
});

test('an order that was cut short is finished by giving it again', async () => {
  const parts = partsOf();
  let lots = 0;
  const failing = {
    ...parts,
    audit: Object.assign(Object.create(parts.audit) as Audit, {
      append: (...given: Parameters<Audit['append']>) => {
        lots += 1;
        return lots === 3 ? Promise.reject(new Error('the disk is full')) : parts.audit.append(...given);
      },
    }),
  };
  await expect(new BulkRevocation(failing).revoke({ fleet: plant }, 'superseded', 'me')).rejects.toThrow(
    /full/,
  );
  const before = await count('revoked');
  expect(before).toBe(2 * (lotSize - (lotSize % 3)));
  const rest = await new BulkRevocation(parts).revoke({ fleet: plant }, 'superseded', 'me');
  expect(rest.certificates).toBe(3 * devices - before);
  expect(await count('revoked')).toBe(3 * devices);
});

test('roles that an assignment should have given are given at the next start, and told in bounded changes', async () => {
  const parts = partsOf();
  const row = { id: 'one', fleet: null, match: '{"kind":"gauge"}', role: 'gauge', created_ms: 1 };
  await store.writer.write((write) => write.insertInto('role_assignments').values(row).execute());
  const assignments = new RoleAssignments(parts);
  expect(await assignments.settle()).toBe(devices / 2);
  expect(await assignments.settle()).toBe(0);
  const changes = await parts.feed.since(0, 500);
  expect(changes.flatMap(({ entries }) => entries)).toHaveLength(devices * 1.5);
  for (const { entries } of changes) {
    expect(entries.length).toBeLessThanOrEqual(500);
    expect(new Set(entries.map(({ role }) => role))).toEqual(new Set(['gauge']));
  }
  expect(await assignments.remove('one', 'me')).toEqual({ devices: devices / 2 });
});
