/** The file of the sessions: its tables, and how it is opened. Several processes may have it open at once. */
import Database from 'better-sqlite3';
import { Fault } from '#common/fault.ts';

const schemaVersion = 1;

/**
 * A message that several sessions are to hear is stored once: `queue` says for whom. Rows of `queue` are found by their
 * client and stay in the order of their messages; `packet` is null until it was sent, `released` after PUBREC. `backlog`
 * counts the rows of a client. `changes` tells other processes whose session or subscriptions are not what they were.
 */
const schema = `
  CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1), beat INTEGER NOT NULL, retained INTEGER NOT NULL,
    retained_bytes INTEGER NOT NULL
  ) STRICT;
  INSERT INTO store VALUES (1, 0, 0, 0);
  CREATE TABLE sessions (
    client_id TEXT PRIMARY KEY, device TEXT NOT NULL, fingerprint TEXT NOT NULL, process TEXT, epoch INTEGER NOT NULL,
    expiry_ms INTEGER NOT NULL, ends_ms INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sessions_by_end ON sessions (ends_ms) WHERE ends_ms IS NOT NULL;
  CREATE INDEX sessions_by_device ON sessions (device);
  CREATE TABLE subscriptions (
    client_id TEXT NOT NULL, filter TEXT NOT NULL, qos INTEGER NOT NULL, no_local INTEGER, as_published INTEGER,
    retain_handling INTEGER, identifier INTEGER, PRIMARY KEY (client_id, filter)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE messages (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload ANY NOT NULL, properties TEXT, expires_ms INTEGER,
    broker TEXT NOT NULL, counter INTEGER NOT NULL, readers INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX messages_by_expiry ON messages (expires_ms) WHERE expires_ms IS NOT NULL;
  CREATE TABLE queue (
    client_id TEXT NOT NULL, message INTEGER NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL,
    identifiers TEXT, counter INTEGER NOT NULL, bytes INTEGER NOT NULL, packet INTEGER, released INTEGER NOT NULL,
    PRIMARY KEY (client_id, message)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX queue_in_flight ON queue (client_id, packet) WHERE packet IS NOT NULL;
  CREATE TABLE backlog (
    client_id TEXT PRIMARY KEY, messages INTEGER NOT NULL, bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE incoming (
    client_id TEXT NOT NULL, packet INTEGER NOT NULL, topic TEXT NOT NULL, payload ANY NOT NULL, qos INTEGER NOT NULL,
    retain INTEGER NOT NULL, properties TEXT, PRIMARY KEY (client_id, packet)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE retained (
    topic TEXT PRIMARY KEY, device TEXT NOT NULL, payload ANY NOT NULL, qos INTEGER NOT NULL, properties TEXT,
    expires_ms INTEGER, bytes INTEGER NOT NULL, rest TEXT
  ) STRICT;
  CREATE INDEX retained_by_device ON retained (device);
  CREATE INDEX retained_by_expiry ON retained (expires_ms) WHERE expires_ms IS NOT NULL;
  CREATE TABLE wills (
    id INTEGER PRIMARY KEY, client_id TEXT NOT NULL, epoch INTEGER NOT NULL, device TEXT NOT NULL, process TEXT NOT NULL,
    topic TEXT NOT NULL, payload ANY NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, properties TEXT,
    delay_ms INTEGER NOT NULL, due_ms INTEGER, protocol TEXT NOT NULL
  ) STRICT;
  CREATE INDEX wills_by_client ON wills (client_id);
  CREATE INDEX wills_by_due ON wills (due_ms) WHERE due_ms IS NOT NULL;
  CREATE TABLE changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL) STRICT;
`;

/** Waits for other processes so long while it is opened; nobody is served yet. */
const openTimeoutMs = 10_000;

/** Opens or makes the file. Faults `conflict` when another version wrote it. */
export function openSessionFile(path: string): Database.Database {
  const db = new Database(path, { timeout: openTimeoutMs });
  try {
    settle(db);
    db.transaction(() => {
      const version = db.pragma('user_version', { simple: true });
      if (version !== 0 && version !== schemaVersion)
        throw new Fault('conflict', `${path} was written by another version.`);
      if (version === 0) {
        db.exec(schema);
        db.pragma(`user_version = ${schemaVersion}`);
      }
      beat(db);
    }).immediate();
    return db;
  } catch (thrown) {
    db.close();
    throw thrown;
  }
}

/** What every connection to the file has set, in whatever thread: commits write, and never wait for the disk. */
export function settle(db: Database.Database): void {
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = NORMAL');
  db.pragma('wal_autocheckpoint = 0');
}

/** A write that changes nothing: whoever is the first after a checkpoint waits for the header of the log. */
export function beat(db: Database.Database): void {
  db.prepare('UPDATE store SET beat = beat + 1').run();
}
