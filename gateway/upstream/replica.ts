/**
 * The gateway's own copy of the directory, in SQLite, fed by the registry's changes. It outlives restarts of the
 * gateway and absences of the registry. It decides nothing: it answers what the registry last said, and how long ago.
 */
import Database, { type Statement } from 'better-sqlite3';
import type { Clock } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type {
  Directory,
  DirectoryEntry,
  FleetTerms,
  IssuerEntry,
  RoleDocument,
} from '#common/contract/directory.ts';
import { type EntryRow, entryOf } from '#common/contract/directory-row.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId, Fingerprint, FleetId } from '#common/identity.ts';

/** Grows with the tables. A file of an older version is emptied, and the feed fills it again; a newer one is refused. */
const schemaVersion = 3;

const schema = `
  CREATE TABLE IF NOT EXISTS entries (
    fingerprint TEXT PRIMARY KEY, serial TEXT NOT NULL, device TEXT NOT NULL, fleet TEXT NOT NULL,
    certificate_state TEXT NOT NULL, device_state TEXT NOT NULL, role TEXT NOT NULL, attributes TEXT NOT NULL,
    not_before_ms INTEGER NOT NULL, not_after_ms INTEGER NOT NULL, issuer TEXT NOT NULL, status_until_ms INTEGER,
    renew_after_ms INTEGER, limits TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS entries_by_device ON entries (device);
  CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (kind, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY CHECK (one = 1), head INTEGER, heard INTEGER) STRICT;
  INSERT OR IGNORE INTO progress VALUES (1, 0, 0);
`;

const emptying = `
  DROP TABLE IF EXISTS entries; DROP TABLE IF EXISTS roles; DROP TABLE IF EXISTS documents; DROP TABLE IF EXISTS progress;
`;

export class Replica implements Directory, Disposable {
  readonly #db: Database.Database;
  readonly #clock: Clock;
  readonly #find: Statement<[string], EntryRow>;
  readonly #ofDevice: Statement<[string], EntryRow>;
  readonly #put: Statement;
  readonly #putDocument: Statement;
  readonly #progress: Statement;
  readonly #roles = new Map<string, RoleDocument>();
  readonly #issuers = new Map<string, IssuerEntry>();
  readonly #fleets = new Map<string, FleetTerms>();
  #head: number;
  #heardMs: number;

  private constructor(db: Database.Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
    this.#find = db.prepare('SELECT * FROM entries WHERE fingerprint = ?');
    this.#ofDevice = db.prepare('SELECT * FROM entries WHERE device = ?');
    this.#put = db.prepare(`INSERT OR REPLACE INTO entries VALUES (${Array(14).fill('?').join()})`);
    this.#putDocument = db.prepare('INSERT OR REPLACE INTO documents VALUES (?, ?, ?)');
    this.#progress = db.prepare('UPDATE progress SET head = ?, heard = ?');
    const progress = db.prepare('SELECT head, heard FROM progress').get() as { head: number; heard: number };
    this.#head = progress.head;
    this.#heardMs = progress.heard;
    const documents = db.prepare('SELECT kind, document FROM documents').all() as {
      kind: string;
      document: string;
    }[];
    for (const { kind, document } of documents) {
      const value = JSON.parse(document);
      if (kind === 'role') this.#roles.set(value.name, value);
      else if (kind === 'issuer') this.#issuers.set(value.id, value);
      else this.#fleets.set(value.id, value);
    }
  }

  /** Opens or makes the file. Faults `conflict` when it was written by a newer program. */
  static open(path: string, clock: Clock): Replica {
    const db = new Database(path);
    db.pragma('journal_mode = WAL');
    // The feed can always be asked again, so a commit need not wait for the disk.
    db.pragma('synchronous = NORMAL');
    const version = db.pragma('user_version', { simple: true }) as number;
    if (version > schemaVersion) {
      db.close();
      throw new Fault('conflict', `${path} was written by a newer program; delete it and it is filled anew.`);
    }
    if (version < schemaVersion) db.exec(emptying);
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

  fleet(id: FleetId): FleetTerms | undefined {
    return this.#fleets.get(id);
  }

  issuer(id: string): IssuerEntry | undefined {
    return this.#issuers.get(id);
  }

  issuers(): readonly IssuerEntry[] {
    return [...this.#issuers.values()].filter(({ state }) => state !== 'removed');
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
        const { role, issuer, terms } = change;
        if (role) this.#putDocument.run('role', role.name, JSON.stringify(role));
        if (issuer) this.#putDocument.run('issuer', issuer.id, JSON.stringify(issuer));
        if (terms) this.#putDocument.run('fleet', terms.id, JSON.stringify(terms));
      }
      this.#progress.run(last.id, this.#heardMs);
    })();
    for (const { role, issuer, terms } of changes) {
      if (role) this.#roles.set(role.name, role);
      if (issuer) this.#issuers.set(issuer.id, issuer);
      if (terms) this.#fleets.set(terms.id, terms);
    }
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
      entry.issuer,
      entry.statusUntilMs,
      entry.renewAfterMs,
      // Changes of an older registry do not say.
      entry.limits ? JSON.stringify(entry.limits) : null,
    );
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
