/**
 * Which worker holds the session of a client id: one SQLite file that all of them write, about live connections only, so
 * that it need not survive anything. A claim is one statement, hence one transaction: of two that come at once in two
 * workers the later finds the earlier, and has the higher epoch.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import Database, { type Statement } from 'better-sqlite3';

export interface FormerOwner {
  readonly worker: number;
  readonly epoch: number;
}

export interface Claim {
  readonly epoch: number;
  /** Who had it before; null when nobody did. */
  readonly former: FormerOwner | null;
}

const schema = `
  CREATE TABLE IF NOT EXISTS owners (
    client_id TEXT PRIMARY KEY, worker INTEGER NOT NULL, epoch INTEGER NOT NULL,
    former_worker INTEGER, former_epoch INTEGER
  ) STRICT, WITHOUT ROWID;
`;

/** A claim waits for that of another worker, which takes some ten microseconds. */
const busyMs = 5_000;

export class Owners implements Disposable {
  readonly #db: Database.Database;
  readonly #claim: Statement;
  readonly #release: Statement<[string, number]>;
  readonly #releaseAll: (sessions: readonly (readonly [string, number])[]) => void;

  private constructor(db: Database.Database) {
    this.#db = db;
    this.#claim = db
      .prepare(
        `INSERT INTO owners (client_id, worker, epoch) VALUES (@client, @worker, @epoch)
         ON CONFLICT DO UPDATE SET former_worker = worker, former_epoch = epoch, worker = excluded.worker,
           epoch = max(excluded.epoch, epoch + 1)
         RETURNING epoch, former_worker, former_epoch`,
      )
      .raw();
    this.#release = db.prepare('DELETE FROM owners WHERE client_id = ? AND epoch = ?');
    this.#releaseAll = db.transaction((sessions: readonly (readonly [string, number])[]) => {
      for (const [client, epoch] of sessions) this.#release.run(client, epoch);
    }).immediate;
  }

  /** Makes an empty one: nobody is connected yet. To be called by the main process, before any worker opens it. */
  static create(dataDir: string): Owners {
    for (const suffix of ['', '-wal', '-shm']) rmSync(pathIn(dataDir) + suffix, { force: true });
    const db = openFile(dataDir);
    db.exec(schema);
    return new Owners(db);
  }

  static open(dataDir: string): Owners {
    return new Owners(openFile(dataDir));
  }

  /** `epoch` is what the worker proposes, higher than any of its own before; the file may give a higher one. */
  claim(client: string, worker: number, epoch: number): Claim {
    const [given, formerWorker, formerEpoch] = this.#claim.get({ client, worker, epoch }) as number[];
    const former = formerWorker === null ? null : { worker: formerWorker!, epoch: formerEpoch! };
    return { epoch: given!, former };
  }

  /** Those of these epochs that are still the newest are nobody's from now on. */
  release(sessions: readonly (readonly [string, number])[]): void {
    this.#releaseAll(sessions);
  }

  /** A worker is no more. */
  clear(worker: number): void {
    this.#db.prepare('DELETE FROM owners WHERE worker = ?').run(worker);
  }

  /** How many sessions have an owner. */
  get size(): number {
    return this.#db.prepare('SELECT count(*) FROM owners').pluck().get() as number;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

const pathIn = (dataDir: string): string => join(dataDir, 'owners.db');

function openFile(dataDir: string): Database.Database {
  const db = new Database(pathIn(dataDir), { timeout: busyMs });
  db.pragma('journal_mode = WAL');
  // Nothing in it is worth a wait for the disk.
  db.pragma('synchronous = OFF');
  return db;
}
