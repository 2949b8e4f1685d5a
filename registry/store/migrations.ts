/** The numbered steps that bring a database from any earlier version to this one. A step that has landed never changes. */

/** Step n (counting from 1) brings a database of version n-1 to version n. */
export const migrations: readonly string[] = [
  `
  CREATE TABLE fleets (id TEXT PRIMARY KEY, role TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE devices (
    id TEXT PRIMARY KEY, fleet TEXT NOT NULL REFERENCES fleets (id), state TEXT NOT NULL, role TEXT,
    attributes TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX devices_by_fleet ON devices (fleet, id);
  CREATE TABLE certificates (
    serial TEXT PRIMARY KEY, fingerprint TEXT, device TEXT NOT NULL, fleet TEXT NOT NULL, state TEXT NOT NULL,
    key_hash TEXT NOT NULL, plan TEXT NOT NULL, der BLOB, token TEXT, not_before_ms INTEGER NOT NULL,
    not_after_ms INTEGER NOT NULL, reserved_ms INTEGER NOT NULL, revoked_ms INTEGER, reason TEXT
  ) STRICT;
  -- All that a look-up at the door needs of a certificate, so that its row, with the DER, is not touched.
  CREATE INDEX certificates_at_the_door
    ON certificates (fingerprint, serial, device, fleet, state, not_before_ms, not_after_ms);
  CREATE INDEX certificates_by_device ON certificates (device);
  CREATE INDEX certificates_by_key ON certificates (key_hash);
  CREATE INDEX certificates_reserved ON certificates (state) WHERE state = 'reserved';
  CREATE TABLE tokens (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, fleet TEXT NOT NULL REFERENCES fleets (id), device TEXT,
    uses INTEGER NOT NULL, uses_left INTEGER NOT NULL, expires_ms INTEGER NOT NULL, created_ms INTEGER NOT NULL,
    revoked INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE roles (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, role TEXT NOT NULL,
    created_ms INTEGER NOT NULL, revoked INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
  CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    target TEXT NOT NULL, detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL
  ) STRICT;
  CREATE TABLE answers (
    key_hash TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
    expires_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE gateways (
    fingerprint TEXT PRIMARY KEY, name TEXT NOT NULL, not_after_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
];
