/** The registry's directory read by another process: never older than the change that one was told of. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { deviceRole } from '#common/contract/role-defaults.ts';
import { parseFingerprint, parseFleetId } from '#common/identity.ts';
import { FileDirectory } from '../../../../registry/store/directory.ts';
import { Store } from '../../../../registry/store/store.ts';

let dir: string;
let store: Store;
let writer: Database.Database;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'store-'));
  store = Store.open(dir);
  writer = new Database(store.path);
  writer.pragma('foreign_keys = OFF');
  writer.exec(`
    INSERT INTO roles (name, document) VALUES ('device', '${JSON.stringify(deviceRole)}');
    INSERT INTO fleets (id, role, profile, grace_ms, skew_ms, created_ms) VALUES ('plant', 'device', 'default', 5, 6, 0);
  `);
});
afterEach(async () => {
  writer.close();
  await store[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

test('what was announced is seen in the same turn, what nobody was told of in the next', async () => {
  using directory = FileDirectory.openElsewhere(store.path);
  const plant = parseFleetId('plant');
  expect(directory.fleet(plant)).toMatchObject({ id: plant, graceMs: 5, skewMs: 6 });
  expect(directory.role('device')).toEqual(deviceRole);
  expect(directory.find(parseFingerprint('a'.repeat(64)))).toBe(undefined);

  writer.exec(`UPDATE fleets SET grace_ms = 50`);
  directory.fresh();
  expect(directory.fleet(plant)?.graceMs).toBe(50);

  const changed = { ...deviceRole, severalSessions: true };
  writer.prepare('UPDATE roles SET document = ?').run(JSON.stringify(changed));
  await new Promise((resolve) => setImmediate(resolve));
  expect(directory.role('device')).toEqual(changed);
  expect(directory.lagMs()).toBe(0);
});
