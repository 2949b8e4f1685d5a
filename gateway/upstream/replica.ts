/**
 * The gateway's own copy of the directory, in SQLite, fed by the registry's changes. It outlives restarts of the
 * gateway and absences of the registry. It decides nothing: it answers what the registry last said, and how long ago.
 */
import Database, { type Statement } from 'better-sqlite3';
import type { Clock } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { Directory, DirectoryEntry, RoleDocument } from '#common/contract/directory.ts';
import { type EntryRow, entryOf } from '#common/contract/directory-row.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId, Fingerprint } from '#common/identity.ts';

/** Grows with the tables. A file of another version is refused: delete it, and the feed fills it again. */
const schemaVersion = 1;

const schema = `
  CREATE TABLE IF NOT EXISTS entries (
    fingerprint TEXT PRIMARY KEY, serial TEXT NOT NULL, device TEXT NOT NULL, fleet TEXT NOT NULL,
    certificate_state TEXT NOT NULL, device_state TEXT NOT NULL, role TEXT NOT NULL, attributes TEXT NOT NULL,
    not_before_ms INTEGER NOT NULL, not_after_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS entries_by_device ON entries (device);
  CREATE TABLE IF NOT EXISTS roles (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY CHECK (one = 1), head INTEGER, heard INTEGER) STRICT;
  INSERT OR IGNORE INTO progress VALUES (1, 0, 0);
`;

export class Replica implements Directory, Disposable {
  readonly #db: Database.Database;
  readonly #clock: Clock;
  readonly #find: Statement<[string], EntryRow>;
  readonly #ofDevice: Statement<[string], EntryRow>;
  readonly #put: Statement;
  readonly #putRole: Statement;
  readonly #progress: Statement;
  readonly #roles = new Map<string, RoleDocument>();
  #head: number;
  #heardMs: number;

  private constructor(db: Database.Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
    this.#find = db.prepare('SELECT * FROM entries WHERE fingerprint = ?');
    this.#ofDevice = db.prepare('SELECT * FROM entries WHERE device = ?');
    this.#put = db.prepare(`INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
    this.#putRole = db.prepare('INSERT OR REPLACE INTO roles VALUES (?, ?)');
    this.#progress = db.prepare('UPDATE progress SET head = ?, heard = ?');
    const progress = db.prepare('SELECT head, heard FROM progress').get() as { head: number; heard: number };
    this.#head = progress.head;
    this.#heardMs = progress.heard;
    for (const row of db.prepare('SELECT name, document FROM roles').all() as {
      name: string;
      document: string;
    }[]) {
      this.#roles.set(row.name, JSON.parse(row.document));
    }
  }

  /** Opens or makes the file. Faults `conflict` when it was written by another version of the program. */
  static open(path: string, clock: Clock): Replica {
    const db = new Database(path);
    db.pragma('journal_mode = WAL');
    // The feed can always be asked again, so a commit need not wait for the disk.
    db.pragma('synchronous = NORMAL');
    const version = db.pragma('user_version', { simple: true });
    if (version !== 0 && version !== schemaVersion) {
      db.close();
      throw new Fault('conflict', `${path} was written by another version; delete it and it is filled anew.`);
    }
    db.exec(schema);
    db.pragma(`user_version = ${schemaVersion}`);
    return new Replica(db, clock);
  }

  /** The last change that is in the file: where to resume the feed. */
  get head(): number {
    return this.#head;
  }

  find(fingerprint: Fingerprint): DirectoryEntry | undefined {
    const row = this.#find.get(fingerprint);
    return row && entryOf(row);
  }

  ofDevice(device: DeviceId): DirectoryEntry[] {
    return this.#ofDevice.all(device).map(entryOf);
  }

  role(name: string): RoleDocument | undefined {
    return this.#roles.get(name);
  }

  /** Endless for a replica that has never been complete. */
  lagMs(): number {
    return this.#heardMs === 0 ? Number.POSITIVE_INFINITY : Math.max(0, this.#clock.now() - this.#heardMs);
  }

  /** Takes changes in, all or none; those that are already in do no harm. */
  apply(changes: readonly Change[]): void {
    const last = changes.at(-1);
    if (!last) return;
    this.#db.transaction(() => {
      for (const change of changes) {
        for (const entry of change.entries) this.#putEntry(entry);
        if (change.role) this.#putRole.run(change.role.name, JSON.stringify(change.role));
      }
      this.#progress.run(last.id, this.#heardMs);
    })();
    for (const change of changes) if (change.role) this.#roles.set(change.role.name, change.role);
    this.#head = last.id;
  }

  /** The registry said how far its feed has grown: when that is where we are, the replica is complete as of now. */
  heard(head: number): void {
    if (head > this.#head) return;
    this.#heardMs = this.#clock.now();
    this.#progress.run(this.#head, this.#heardMs);
  }

  #putEntry(entry: DirectoryEntry): void {
    this.#put.run(
      entry.fingerprint,
      entry.serialNumber,
      entry.device,
      entry.fleet,
      entry.certificateState,
      entry.deviceState,
      entry.role,
      JSON.stringify(entry.attributes),
      entry.notBeforeMs,
      entry.notAfterMs,
    );
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
