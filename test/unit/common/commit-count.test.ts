/** Counts the commits of others, and looks no more often than it has to. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CommitCount } from '#common/commit-count.ts';

let dir: string;
let writer: Database.Database;
let reader: Database.Database;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'commits-'));
  writer = new Database(join(dir, 'file.db'));
  writer.pragma('journal_mode = WAL');
  writer.exec('CREATE TABLE notes (text TEXT)');
  reader = new Database(join(dir, 'file.db'), { readonly: true });
});
afterEach(() => {
  reader.close();
  writer.close();
  rmSync(dir, { recursive: true });
});

const write = () => writer.exec(`INSERT INTO notes VALUES ('x')`);
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('it is another number after a commit, and the same when there was none', async () => {
  const count = new CommitCount(reader);
  const before = count.now();
  await turn();
  expect(count.now()).toBe(before);
  write();
  await turn();
  const after = count.now();
  expect(after).not.toBe(before);
  await turn();
  expect(count.now()).toBe(after);
});

test('in one turn it looks once, unless it is told that there is something', () => {
  const count = new CommitCount(reader);
  const before = count.now();
  write();
  expect(count.now()).toBe(before);
  count.fresh();
  expect(count.now()).not.toBe(before);
});
