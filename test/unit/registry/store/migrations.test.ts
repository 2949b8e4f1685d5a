/** A database of an earlier version comes over whole: rows, look-ups, and a feed that a gateway can follow from anywhere. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { deviceRole } from '#common/contract/role-defaults.ts';
import { parseDeviceId, parseFingerprint, parseFleetId } from '#common/identity.ts';
import { Feed } from '../../../../registry/authority/feed.ts';
import { FileDirectory } from '../../../../registry/store/directory.ts';
import { migrations } from '../../../../registry/store/migrations.ts';
import { Store } from '../../../../registry/store/store.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'store-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const day = 86_400_000;

test('version 1: certificates have an issuer, a time to renew, and the feed tells it all anew', async () => {
  const old = new Database(join(dir, 'registry.db'));
  old.exec(migrations[0]!);
  old.pragma('user_version = 1');
  old.exec(`
    INSERT INTO roles VALUES ('device', '${JSON.stringify(deviceRole)}');
    INSERT INTO fleets VALUES ('plant', 'device', 1000);
    INSERT INTO devices VALUES ('pump-1', 'plant', 'active', NULL, '{"line":"7"}', 1000, 2000);
    INSERT INTO certificates VALUES
      ('4a', '${'a'.repeat(64)}', 'pump-1', 'plant', 'issued', 'k', '{}', x'30', 't1', 0, ${90 * day}, 1000, NULL, NULL),
      ('4b', NULL, 'pump-1', 'plant', 'revoked', 'k', '{}', NULL, 't1', 0, ${90 * day}, 1000, 1500, 'abandoned');
    INSERT INTO changes (time_ms, body) VALUES (1, '{"kind":"old"}'), (2, '{"kind":"old"}');
  `);
  old.close();

  await using store = Store.open(dir);
  using directory = FileDirectory.open(store.path, () => store.writer.commits);
  const entry = directory.find(parseFingerprint('a'.repeat(64)));
  expect(entry).toEqual({
    fingerprint: 'a'.repeat(64),
    serialNumber: '4a',
    device: 'pump-1',
    fleet: 'plant',
    certificateState: 'issued',
    deviceState: 'active',
    role: 'device',
    attributes: { line: '7' },
    notBeforeMs: 0,
    notAfterMs: 90 * day,
    issuer: 'issuing',
    statusUntilMs: null,
    renewAfterMs: 60 * day,
    limits: null,
  });
  expect(directory.ofDevice(parseDeviceId('pump-1'))).toEqual([entry]);
  expect(directory.fleet(parseFleetId('plant'))).toEqual({
    id: 'plant',
    graceMs: 30 * day,
    skewMs: day,
    limits: null,
  });

  const changes = await new Feed(store.read, systemClock).since(0, 10);
  expect(changes.map(({ id, kind }) => [id, kind])).toEqual([
    [3, 'fleet-created'],
    [4, 'role-changed'],
    [5, 'device-changed'],
  ]);
  expect(changes[0]).toMatchObject({
    terms: { id: 'plant', graceMs: 30 * day },
    time: '1970-01-01T00:00:01.000Z',
  });
  expect(changes[1]).toMatchObject({ role: deviceRole });
  const { limits: _, ...told } = entry!;
  expect(changes[2]?.entries).toEqual([told]);
});
