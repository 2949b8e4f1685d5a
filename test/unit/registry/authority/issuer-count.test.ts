/** The census of issuers, over several lots, on a real store. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CertificateState } from '#common/contract/directory.ts';
import {
  countCertificates,
  countDevices,
  losersOf,
  lotRows,
} from '../../../../registry/authority/issuer-count.ts';
import { Store } from '../../../../registry/store/store.ts';

const nowMs = 1_000_000;
let dir: string;
let store: Store;
let db: Database.Database;
let serial = 0;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'count-'));
  store = Store.open(dir);
  db = new Database(store.path);
  db.exec(`INSERT INTO fleets (id, role, created_ms, grace_ms) VALUES ('plant', 'device', 0, 100);
    INSERT INTO issuers VALUES ('a', 'own', 'draining', '', '', NULL, NULL, '', NULL, 0, 0),
      ('b', 'own', 'preferred', '', '', NULL, NULL, '', NULL, 0, 0),
      ('gone', 'own', 'removed', '', '', NULL, NULL, '', NULL, 0, 0);`);
});
afterEach(async () => {
  db.close();
  await store[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

function device(id: string, lastIssuer: string | null, state = 'active') {
  db.prepare(
    `INSERT INTO devices (id, fleet, state, attributes, created_ms, updated_ms, last_issuer) VALUES (?, 'plant', ?, '{}', 0, 0, ?)`,
  ).run(id, state, lastIssuer);
}
function certificate(
  of: string,
  issuer: string,
  { state = 'issued' as CertificateState, untilMs = nowMs + 1 } = {},
) {
  serial += 1;
  const name = serial.toString(16).padStart(64, '0');
  db.prepare(
    `INSERT INTO certificates (issuer, serial, fingerprint, device, fleet, state, key_hash, profile, plan, source,
       not_before_ms, not_after_ms, reserved_ms) VALUES (?, ?, ?, ?, 'plant', ?, '', 'device', '{}', 'system', 0, ?, ?)`,
  ).run(issuer, name, state === 'reserved' ? null : name, of, state, untilMs, serial);
}
const losers = async (issuer: string) => Array.fromAsync(losersOf(store.read, issuer, nowMs));

test('counts over several lots are whole', async () => {
  const many = lotRows * 2 + 7;
  db.transaction(() => {
    for (let n = 0; n < many; n++) {
      device(`d${n}`, n % 2 ? 'a' : null);
      certificate(`d${n}`, n % 4 ? 'a' : 'b');
    }
  })();
  const b = Math.ceil(many / 4);
  const counts = new Map([
    ['a', many - b],
    ['b', b],
  ]);
  expect(await countCertificates(store.read, nowMs)).toEqual(counts);
  expect(await countDevices(store.read)).toEqual(counts);
  const losing = await losers('a');
  expect(losing).toHaveLength(many - b);
  expect(losing).toEqual([...losing].sort());
});

test('live is what is issued, held or being issued, up to the end of its grace', async () => {
  certificate('x', 'a', { state: 'reserved' });
  certificate('x', 'a', { state: 'held' });
  certificate('x', 'a', { state: 'revoked' });
  certificate('x', 'a', { untilMs: nowMs - 99 });
  certificate('x', 'a', { untilMs: nowMs - 100 });
  expect(await countCertificates(store.read, nowMs)).toEqual(new Map([['a', 3]]));
});

test.each([
  ['has no other certificate', 'a', [], true],
  ['was never seen, and has one of another issuer', null, [['b']], false],
  ['used the other one last', 'b', [['b']], false],
  ['was issued another and has not used it', 'a', [['b']], true],
  ['used another last that is of a removed issuer', 'gone', [['gone']], true],
  ['used another last that was revoked since', 'b', [['b', { state: 'revoked' }]], true],
  ['used another last that is on hold', 'b', [['b', { state: 'held' }]], true],
  ['used another last that has expired', 'b', [['b', { untilMs: nowMs - 1 }]], true],
] as const)('a device that %s', async (_what, lastIssuer, others, loses) => {
  device('d', lastIssuer);
  certificate('d', 'a');
  for (const [issuer, how] of others as readonly [string, { state?: CertificateState }?][])
    certificate('d', issuer, how);
  expect(await losers('a')).toEqual(loses ? ['d'] : []);
});

test('devices that are out of service lose nothing', async () => {
  for (const state of ['revoked', 'deleted', 'disabled', 'pending']) {
    device(state, 'a', state);
    certificate(state, 'a');
  }
  expect(await losers('a')).toEqual(['disabled', 'pending']);
  expect(await countDevices(store.read)).toEqual(new Map([['a', 2]]));
});
