/** The gateway's replica of the directory: what the feed said is kept, and how long ago. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Clock, systemClock } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import { deviceRole } from '#common/contract/role-defaults.ts';
import { type Fingerprint, parseDeviceId, parseFingerprint, parseFleetId } from '#common/identity.ts';
import { Replica } from '../../../../gateway/upstream/replica.ts';

let dir: string;
let now = 1_000_000;
const clock: Clock = { ...systemClock, now: () => now };

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'replica-'));
  now = 1_000_000;
});
afterEach(() => rmSync(dir, { recursive: true }));

const fingerprint = (digit: string): Fingerprint => parseFingerprint(digit.repeat(64));

const entry = (digit: string, device: string, more: Partial<DirectoryEntry> = {}): DirectoryEntry => ({
  fingerprint: fingerprint(digit),
  serialNumber: digit,
  device: parseDeviceId(device),
  fleet: parseFleetId('plant'),
  certificateState: 'issued',
  deviceState: 'active',
  role: 'device',
  attributes: {},
  notBeforeMs: 0,
  notAfterMs: 9_000_000,
  issuer: 'issuing',
  statusUntilMs: null,
  renewAfterMs: 6_000_000,
  limits: null,
  ...more,
});

const change = (id: number, kind: Change['kind'], more: Partial<Change> = {}): Change => ({
  id,
  time: '2026-01-01T00:00:00.000Z',
  kind,
  fleet: null,
  device: null,
  entries: [],
  role: null,
  terms: null,
  issuer: null,
  reason: null,
  ...more,
});

const open = () => Replica.open(join(dir, 'directory.db'), clock);

test('what the feed said is found again, after a restart too', () => {
  const first = open();
  first.apply([
    change(1, 'role-changed', { role: deviceRole }),
    change(2, 'certificate-issued', { entries: [entry('a', 'pump-1', { attributes: { line: '7' } })] }),
    change(3, 'certificate-issued', { entries: [entry('b', 'pump-1')] }),
  ]);
  first[Symbol.dispose]();

  using again = open();
  expect(again.head).toBe(3);
  expect(again.find(fingerprint('a'))).toEqual(entry('a', 'pump-1', { attributes: { line: '7' } }));
  expect(again.find(fingerprint('c'))).toBeUndefined();
  expect(again.ofDevice(parseDeviceId('pump-1')).map((found) => found.serialNumber)).toEqual(['a', 'b']);
  expect(again.role('device')).toEqual(deviceRole);
});

test('a change that is applied twice does no harm, and a revocation replaces the entry', () => {
  using replica = open();
  const issued = change(1, 'certificate-issued', { entries: [entry('a', 'pump-1')] });
  const revoked = change(2, 'certificate-revoked', {
    entries: [entry('a', 'pump-1', { certificateState: 'revoked' })],
  });
  replica.apply([issued, revoked]);
  replica.apply([revoked]);
  expect(replica.find(fingerprint('a'))?.certificateState).toBe('revoked');
});

test('a replica that was never complete is endlessly late', () => {
  using replica = open();
  expect(replica.lagMs()).toBe(Number.POSITIVE_INFINITY);
});

test('lag is counted from the last heartbeat that found it complete, over restarts', () => {
  const first = open();
  first.apply([change(5, 'fleet-created')]);
  first.heard(5);
  now += 1_000;
  first.heard(9); // the feed has grown, and we have not: not complete
  expect(first.lagMs()).toBe(1_000);
  first[Symbol.dispose]();
  now += 60_000;
  using again = open();
  expect(again.lagMs()).toBe(61_000);
});

test('a file of another version is refused with the way out', () => {
  const db = new Database(join(dir, 'directory.db'));
  db.pragma('user_version = 99');
  db.close();
  expect(open).toThrowError(/delete it/);
});
