/** The replica of another process, read: what was applied is seen as soon as one is told, and it is as old as it says. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Clock, systemClock } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import { deviceRole } from '#common/contract/role-defaults.ts';
import { parseDeviceId, parseFingerprint, parseFleetId } from '#common/identity.ts';
import { Replica } from '../../../../gateway/upstream/replica.ts';
import { ReplicaReader } from '../../../../gateway/upstream/replica-reader.ts';

let dir: string;
let now = 1_000_000;
const clock: Clock = { ...systemClock, now: () => now };
let replica: Replica;
let reader: ReplicaReader;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'replica-'));
  now = 1_000_000;
  replica = Replica.open(join(dir, 'directory.db'), clock);
  reader = ReplicaReader.open(join(dir, 'directory.db'), clock);
});
afterEach(() => {
  reader[Symbol.dispose]();
  replica[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});

const fingerprint = parseFingerprint('a'.repeat(64));
const pump = parseDeviceId('pump');
const plant = parseFleetId('plant');

const entry = (more: Partial<DirectoryEntry> = {}): DirectoryEntry => ({
  fingerprint,
  serialNumber: 'a',
  limits: null,
  device: pump,
  fleet: plant,
  certificateState: 'issued',
  deviceState: 'active',
  role: 'device',
  attributes: { line: '4' },
  notBeforeMs: 0,
  notAfterMs: 9_000_000,
  issuer: 'issuing',
  statusUntilMs: null,
  renewAfterMs: null,
  ...more,
});

let id = 0;
const apply = (more: Partial<Change>) =>
  replica.apply([
    {
      id: ++id,
      time: '2026-01-01T00:00:00.000Z',
      kind: 'device-changed',
      fleet: null,
      device: null,
      entries: [],
      role: null,
      terms: null,
      issuer: null,
      reason: null,
      ...more,
    },
  ]);
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('entries are as they were last applied, in the same turn too', () => {
  expect(reader.find(fingerprint)).toBe(undefined);
  apply({ entries: [entry()] });
  expect(reader.find(fingerprint)).toEqual(entry());
  apply({ entries: [entry({ certificateState: 'revoked' })] });
  expect(reader.find(fingerprint)?.certificateState).toBe('revoked');
  expect(reader.ofDevice(pump)).toEqual([entry({ certificateState: 'revoked' })]);
});

test('roles, fleets and issuers are never older than what one was told of', async () => {
  const issuer = { id: 'issuing', kind: 'own', state: 'preferred', certificate: 'PEM', fleet: null } as const;
  apply({ role: deviceRole, terms: { id: plant, graceMs: 5, skewMs: 6, limits: null } });
  apply({ issuer: { ...issuer, mode: null, statusUntilMs: null } });
  const role = reader.role('device');
  expect(role).toEqual(deviceRole);
  expect(reader.fleet(plant)).toEqual({ id: plant, graceMs: 5, skewMs: 6, limits: null });
  expect(reader.issuers().map(({ state }) => state)).toEqual(['preferred']);
  const changed = { ...deviceRole, severalSessions: true };
  apply({ role: changed, issuer: { ...issuer, state: 'removed', mode: null, statusUntilMs: null } });
  reader.fresh();
  expect(reader.role('device')).toEqual(changed);
  expect(reader.issuer('issuing')?.state).toBe('removed');
  expect(reader.issuers()).toEqual([]);
  // What has not changed is the same object: rights are compiled once.
  const compiled = reader.role('device');
  apply({ entries: [entry()] });
  await turn();
  expect(reader.role('device')).toBe(compiled);
  expect(reader.role('nobody')).toBe(undefined);
});

test('it is as old as the writer says', async () => {
  expect(reader.lagMs()).toBe(Number.POSITIVE_INFINITY);
  replica.heard(0);
  await turn();
  expect(reader.lagMs()).toBe(0);
  now += 4_000;
  expect(reader.lagMs()).toBe(4_000);
  replica.heard(replica.head);
  await turn();
  expect(reader.lagMs()).toBe(0);
});
