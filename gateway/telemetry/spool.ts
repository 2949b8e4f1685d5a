/**
 * The spool: where accepted events wait, durably, for their backends. SQLite, one row a committed batch, and one row a
 * backend that says how far it has come; a batch leaves when every backend is past it. The totals of the ledger change in
 * the same transactions, so that they are exact after a crash too.
 */
import { randomBytes } from 'node:crypto';
import Database, { type Statement } from 'better-sqlite3';
import { Fault } from '#common/fault.ts';

const schemaVersion = 1;

const schema = `
  CREATE TABLE spool (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL, next_sequence INTEGER NOT NULL) STRICT;
  CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT, first_sequence INTEGER NOT NULL, count INTEGER NOT NULL,
    time_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, body BLOB NOT NULL
  ) STRICT;
  CREATE TABLE backends (
    name TEXT PRIMARY KEY, done_through INTEGER NOT NULL, routed INTEGER NOT NULL, delivered INTEGER NOT NULL,
    dead INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, backend TEXT NOT NULL, reason TEXT NOT NULL, time_ms INTEGER NOT NULL,
    event TEXT NOT NULL
  ) STRICT;
`;

export interface NewBatch {
  readonly body: Buffer;
  readonly count: number;
  readonly timeMs: number;
  /** How many of its events go to each backend. */
  readonly routed: ReadonlyMap<string, number>;
}

export interface StoredBatch {
  readonly id: number;
  readonly firstSequence: number;
  readonly timeMs: number;
  readonly body: Buffer;
}

export interface Progress {
  readonly doneThrough: number;
  readonly routed: number;
  readonly delivered: number;
  readonly dead: number;
}

/** What a backend has done since it was last written down. */
export interface Advance {
  readonly doneThrough: number;
  readonly delivered: number;
  readonly dead: number;
}

export interface DeadLetter {
  readonly reason: string;
  readonly timeMs: number;
  /** CloudEvent as JSON. */
  readonly event: string;
}

/** Its file in the data folder. */
export const spoolFile = (label: string): string => (label === '' ? 'spool.db' : `spool-${label}.db`);

export class Spool implements Disposable {
  readonly epoch: string;
  readonly #db: Database.Database;
  readonly #insert: Statement;
  readonly #next: Statement<[number], { id: number; first_sequence: number; time_ms: number; body: Buffer }>;
  readonly #route: Statement;
  readonly #advance: Statement;
  readonly #bury: Statement;
  readonly #drop: Statement;
  readonly #setSequence: Statement;
  #nextSequence: number;
  #bytes: number;

  private constructor(db: Database.Database) {
    this.#db = db;
    const { epoch, next_sequence } = db.prepare('SELECT epoch, next_sequence FROM spool').get() as {
      epoch: string;
      next_sequence: number;
    };
    this.epoch = epoch;
    this.#nextSequence = next_sequence;
    this.#bytes = db.prepare('SELECT coalesce(sum(bytes), 0) FROM batches').pluck().get() as number;
    this.#insert = db.prepare(
      'INSERT INTO batches (first_sequence, count, time_ms, bytes, body) VALUES (?, ?, ?, ?, ?)',
    );
    this.#next = db.prepare(
      'SELECT id, first_sequence, time_ms, body FROM batches WHERE id > ? ORDER BY id LIMIT 1',
    );
    this.#route = db.prepare('UPDATE backends SET routed = routed + ? WHERE name = ?');
    this.#advance = db.prepare(
      'UPDATE backends SET done_through = ?, delivered = delivered + ?, dead = dead + ? WHERE name = ?',
    );
    this.#bury = db.prepare('INSERT INTO dead_letters (backend, reason, time_ms, event) VALUES (?, ?, ?, ?)');
    this.#drop = db.prepare(
      'DELETE FROM batches WHERE id <= (SELECT coalesce(min(done_through), 0) FROM backends) RETURNING bytes',
    );
    this.#setSequence = db.prepare('UPDATE spool SET next_sequence = ?');
  }

  /**
   * Opens or makes the file for these backends: a new one starts with what comes next, one that is gone is forgotten.
   * Faults `conflict` when another process has it or another version wrote it.
   */
  static open(path: string, backends: readonly string[]): Spool {
    const db = new Database(path, { timeout: 0 });
    try {
      // One process only: the lock is taken with the first write and kept.
      db.pragma('locking_mode = EXCLUSIVE');
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = FULL');
      const version = db.pragma('user_version', { simple: true });
      if (version !== 0 && version !== schemaVersion)
        throw new Fault('conflict', `${path} was written by another version.`);
      db.transaction(() => {
        if (version === 0) {
          db.exec(schema);
          db.prepare('INSERT INTO spool VALUES (1, ?, 1)').run(randomBytes(6).toString('hex'));
          db.pragma(`user_version = ${schemaVersion}`);
        }
        adoptBackends(db, backends);
      }).immediate();
      return new Spool(db);
    } catch (thrown) {
      db.close();
      if ((thrown as { code?: string }).code?.startsWith('SQLITE_BUSY')) {
        throw new Fault('conflict', `The spool ${path} is in use by another process.`, { cause: thrown });
      }
      throw thrown;
    }
  }

  /** Bytes of undelivered batches. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bounds the file, in pages of 4 KiB: how a full disk is played in tests. */
  limitPages(pages: number): void {
    this.#db.pragma(`max_page_count = ${pages}`);
  }

  /**
   * One commit: new batches in, progress of the backends and dead letters down, what everybody has passed out. When this
   * returns it is on disk; when it throws nothing has changed. Returns the batches as stored.
   */
  commit(
    fresh: readonly NewBatch[],
    advances: ReadonlyMap<string, Advance>,
    dead: ReadonlyMap<string, readonly DeadLetter[]>,
  ): StoredBatch[] {
    let sequence = this.#nextSequence;
    let bytes = this.#bytes;
    const stored: StoredBatch[] = [];
    this.#db.transaction(() => {
      for (const { body, count, timeMs, routed } of fresh) {
        const id = Number(this.#insert.run(sequence, count, timeMs, body.length, body).lastInsertRowid);
        for (const [backend, events] of routed) this.#route.run(events, backend);
        stored.push({ id, firstSequence: sequence, timeMs, body });
        sequence += count;
        bytes += body.length;
      }
      if (fresh.length > 0) this.#setSequence.run(sequence);
      for (const [backend, { doneThrough, delivered, dead: buried }] of advances) {
        this.#advance.run(doneThrough, delivered, buried, backend);
      }
      for (const [backend, letters] of dead) {
        for (const { reason, timeMs, event } of letters) this.#bury.run(backend, reason, timeMs, event);
      }
      if (advances.size > 0) for (const row of this.#drop.all() as { bytes: number }[]) bytes -= row.bytes;
    })();
    this.#nextSequence = sequence;
    this.#bytes = bytes;
    return stored;
  }

  /** The first batch after one, read from disk. */
  after(id: number): StoredBatch | undefined {
    const row = this.#next.get(id);
    return row && { id: row.id, firstSequence: row.first_sequence, timeMs: row.time_ms, body: row.body };
  }

  progress(backend: string): Progress {
    const row = this.#db.prepare('SELECT * FROM backends WHERE name = ?').get(backend) as {
      done_through: number;
      routed: number;
      delivered: number;
      dead: number;
    };
    return { doneThrough: row.done_through, routed: row.routed, delivered: row.delivered, dead: row.dead };
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

function adoptBackends(db: Database.Database, names: readonly string[]): void {
  const head = db
    .prepare(`SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'batches'), 0)`)
    .pluck()
    .get() as number;
  const known = db.prepare('SELECT name FROM backends').pluck().all() as string[];
  for (const name of known)
    if (!names.includes(name)) db.prepare('DELETE FROM backends WHERE name = ?').run(name);
  for (const name of names) {
    if (!known.includes(name)) db.prepare('INSERT INTO backends VALUES (?, ?, 0, 0, 0)').run(name, head);
  }
}
