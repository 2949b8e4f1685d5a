/** Groups of writes: one transaction and one wait for the disk for many, and no promise that the disk has not kept. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { Checkpointer } from '../../../../../gateway/mqtt/store/checkpointer.ts';
import { GroupCommit, pendingLimit } from '../../../../../gateway/mqtt/store/group-commit.ts';
import { openSessionFile } from '../../../../../gateway/mqtt/store/schema.ts';
import { SessionFolder } from '../../../../harness/session-file.ts';

let folder: SessionFolder;
let path: string;
let db: Database.Database;
let commit: GroupCommit;
/** Waits for the disk that nobody has ended yet. */
let waits: ((error: Error | null) => void)[];
let checkpoints: PromiseWithResolvers<void>[];
let failures: string[];

beforeEach(() => {
  folder = new SessionFolder();
  path = join(folder.dir, 'sessions.db');
  db = openSessionFile(path);
  db.pragma('busy_timeout = 0');
  waits = [];
  checkpoints = [];
  failures = [];
  commit = new GroupCommit({
    db,
    path,
    clock: systemClock,
    sync: (_log, done) => waits.push(done),
    checkpoint: () => {
      const checkpoint = Promise.withResolvers<void>();
      checkpoints.push(checkpoint);
      return checkpoint.promise;
    },
    failed: ({ message }) => failures.push(message),
  });
});
afterEach(() => {
  commit.close();
  db.close();
  folder[Symbol.dispose]();
});

const turn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
const put = (client: string) => () => db.prepare('INSERT INTO backlog VALUES (?, 1, 1)').run(client).changes;
const stored = () => db.prepare('SELECT client_id FROM backlog ORDER BY 1').pluck().all();
const synced = (error: Error | null = null) => waits.shift()!(error);
const isPending = async (promise: Promise<unknown>) =>
  (await Promise.race([promise.catch(() => 'failed'), turn().then(() => 'pending')])) === 'pending';

test('what arrives in one turn waits once; what arrives meanwhile waits together', async () => {
  const first = Array.from({ length: 50 }, (_, n) => commit.write(put(`a${n}`)));
  await turn();
  expect([waits.length, stored().length]).toEqual([1, 50]);
  const second = Array.from({ length: 50 }, (_, n) => commit.write(put(`b${n}`)));
  await turn();
  expect([waits.length, stored().length]).toEqual([1, 50]);
  synced();
  await Promise.all(first);
  await turn();
  expect([waits.length, stored().length]).toEqual([1, 100]);
  expect(await isPending(Promise.all(second))).toBe(true);
  synced();
  expect(await Promise.all(second)).toEqual(Array(50).fill(1));
});

test('a write is promised by the disk, a note by the commit', async () => {
  const write = commit.write(put('write'));
  const note = commit.note(put('note'));
  await note;
  expect(await isPending(write)).toBe(true);
  synced();
  await write;
});

test('a job that fails takes nobody along', async () => {
  const good = commit.write(put('good'));
  const bad = commit.write(() => {
    put('half')();
    throw new Error('not like this');
  });
  const late = commit.write(put('late'));
  const refused = expect(bad).rejects.toThrow('not like this');
  await turn();
  while (waits.length > 0) {
    synced();
    await turn();
  }
  await refused;
  await Promise.all([good, late]);
  expect(stored()).toEqual(['good', 'late']);
});

test('a full disk: refused, nothing changed, and taken again when there is room', async () => {
  const pages = db.pragma('page_count', { simple: true }) as number;
  db.pragma(`max_page_count = ${pages}`);
  const big = () =>
    db
      .prepare('INSERT INTO retained VALUES (?, ?, ?, 0, NULL, NULL, 0, NULL)')
      .run('t', 'd', Buffer.alloc(100_000));
  await expect(commit.write(big)).rejects.toMatchObject({ kind: 'unavailable' });
  expect(failures).toHaveLength(1);
  expect(db.prepare('SELECT count(*) FROM retained').pluck().get()).toBe(0);
  db.pragma('max_page_count = 100000');
  const again = commit.write(big);
  await turn();
  synced();
  await again;
});

test('a sync that fails: what waited for it is refused, and so is all else until a checkpoint has written it anew', async () => {
  const lost = commit.write(put('lost'));
  await turn();
  const next = commit.write(put('next'));
  const refused = Promise.all(
    [lost, next].map((write) => expect(write).rejects.toMatchObject({ kind: 'unavailable' })),
  );
  synced(new Error('EIO'));
  await refused;
  expect(commit.broken).toBe('EIO');
  await expect(commit.write(put('later'))).rejects.toMatchObject({ kind: 'unavailable' });
  checkpoints[0]!.resolve();
  await turn();
  expect(commit.broken).toBeNull();
  const well = commit.write(put('well'));
  await turn();
  synced();
  await well;
});

test('while another process writes, the loop goes on; then it is done', async () => {
  const other = new Database(path);
  other.exec('BEGIN IMMEDIATE');
  const write = commit.write(put('patient'));
  for (let turns = 0; turns < 20; turns++) await turn();
  expect(stored()).toEqual([]);
  other.exec('COMMIT');
  other.close();
  await expect.poll(() => waits.length).toBe(1);
  synced();
  await write;
});

test(`more than ${pendingLimit} that wait are refused`, async () => {
  const all = Array.from({ length: pendingLimit }, () => commit.note(() => null));
  await expect(commit.note(() => null)).rejects.toMatchObject({ kind: 'unavailable' });
  await Promise.all(all);
});

test('an empty log is begun by the thread, never by a write', async () => {
  await using checkpointer = new Checkpointer(path);
  await checkpointer.run();
  const emptied = new Database(path);
  emptied.pragma('wal_checkpoint(TRUNCATE)');
  const write = commit.write(put('first'));
  for (let turns = 0; turns < 20; turns++) await turn();
  expect([stored(), checkpoints.length]).toEqual([[], 1]);
  await checkpointer.run();
  checkpoints[0]!.resolve();
  await expect.poll(() => waits.length).toBe(1);
  synced();
  await write;
  emptied.close();
});
