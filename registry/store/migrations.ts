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
  // Whole lives: issuers, profiles, claims, approvals, renewals, operators. A serial number is one of its issuer.
  `
  CREATE TABLE profiles (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
  ALTER TABLE fleets ADD COLUMN profile TEXT NOT NULL DEFAULT 'device';
  ALTER TABLE fleets ADD COLUMN approval TEXT NOT NULL DEFAULT 'automatic';
  ALTER TABLE fleets ADD COLUMN grace_ms INTEGER NOT NULL DEFAULT 2592000000;
  ALTER TABLE fleets ADD COLUMN skew_ms INTEGER NOT NULL DEFAULT 86400000;
  ALTER TABLE devices ADD COLUMN assigned_role TEXT;
  ALTER TABLE devices ADD COLUMN last_issuer TEXT;
  ALTER TABLE devices ADD COLUMN last_seen_ms INTEGER;
  CREATE TABLE issuers (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, name TEXT NOT NULL, certificate TEXT NOT NULL,
    fleet TEXT, mode TEXT, document TEXT NOT NULL, status_until_ms INTEGER, crl_number INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  ALTER TABLE certificates RENAME TO certificates_1;
  DROP INDEX certificates_at_the_door;
  DROP INDEX certificates_by_device;
  DROP INDEX certificates_by_key;
  DROP INDEX certificates_reserved;
  CREATE TABLE certificates (
    issuer TEXT NOT NULL, serial TEXT NOT NULL, fingerprint TEXT, device TEXT NOT NULL, fleet TEXT NOT NULL,
    state TEXT NOT NULL, key_hash TEXT NOT NULL, profile TEXT NOT NULL, plan TEXT NOT NULL, der BLOB,
    source TEXT NOT NULL, csr_hash TEXT, not_before_ms INTEGER NOT NULL, not_after_ms INTEGER NOT NULL,
    reserved_ms INTEGER NOT NULL, revoked_ms INTEGER, reason TEXT, replaces TEXT, used_ms INTEGER, seen_ms INTEGER,
    retire_ms INTEGER, renew_after_ms INTEGER, status_until_ms INTEGER, PRIMARY KEY (issuer, serial)
  ) STRICT;
  INSERT INTO certificates
    SELECT 'issuing', serial, fingerprint, device, fleet, state, key_hash, 'device', plan, der,
      CASE WHEN token IS NULL THEN 'system' ELSE 'token:' || token END, NULL, not_before_ms, not_after_ms, reserved_ms,
      revoked_ms, reason, NULL, reserved_ms, NULL, NULL,
      CASE WHEN fingerprint IS NULL THEN NULL ELSE not_before_ms + (not_after_ms - not_before_ms) * 2 / 3 END, NULL
    FROM certificates_1;
  DROP TABLE certificates_1;
  -- All that a look-up at the door needs of a certificate, so that its row, with the DER, is not touched.
  CREATE INDEX certificates_at_the_door ON certificates (
    fingerprint, serial, device, fleet, state, not_before_ms, not_after_ms, issuer, status_until_ms, renew_after_ms
  );
  CREATE INDEX certificates_by_device ON certificates (device);
  CREATE INDEX certificates_by_key ON certificates (key_hash);
  CREATE INDEX certificates_reserved ON certificates (state) WHERE state = 'reserved';
  -- What a CRL lists, in its order, without touching the rows.
  CREATE INDEX certificates_revoked ON certificates (issuer, serial, revoked_ms, reason, not_after_ms)
    WHERE state IN ('revoked', 'held');
  CREATE INDEX certificates_to_renew ON certificates (renew_after_ms) WHERE state = 'issued';
  CREATE INDEX certificates_to_expire ON certificates (not_after_ms) WHERE state = 'issued';
  CREATE INDEX certificates_to_retire ON certificates (retire_ms) WHERE retire_ms IS NOT NULL AND state = 'issued';

  CREATE TABLE claims (
    id TEXT PRIMARY KEY, fleet TEXT NOT NULL REFERENCES fleets (id), fingerprint TEXT NOT NULL UNIQUE,
    uses INTEGER NOT NULL, uses_left INTEGER NOT NULL, expires_ms INTEGER NOT NULL, created_ms INTEGER NOT NULL,
    revoked INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE enrollments (
    id TEXT PRIMARY KEY, fleet TEXT NOT NULL REFERENCES fleets (id), device TEXT NOT NULL, csr_hash TEXT NOT NULL,
    csr BLOB NOT NULL, attributes TEXT NOT NULL, source TEXT NOT NULL, state TEXT NOT NULL, created_ms INTEGER NOT NULL,
    decided_ms INTEGER, decided_by TEXT, reason TEXT, UNIQUE (device, csr_hash)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX enrollments_by_state ON enrollments (state, created_ms);
  CREATE TABLE operators (
    name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, role TEXT NOT NULL, not_after_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, revoked INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE role_assignments (
    id TEXT PRIMARY KEY, fleet TEXT, match TEXT NOT NULL, role TEXT NOT NULL, created_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- The feed anew, from how things stand: its old entries lack what gateways now ask for. Numbers go on.
  DELETE FROM changes;
  INSERT INTO changes (time_ms, body)
    SELECT created_ms, json_object('time', strftime('%Y-%m-%dT%H:%M:%fZ', created_ms / 1000.0, 'unixepoch'),
      'kind', 'fleet-created', 'fleet', id, 'device', NULL, 'entries', json_array(), 'role', NULL,
      'terms', json_object('id', id, 'graceMs', grace_ms, 'skewMs', skew_ms), 'issuer', NULL, 'reason', NULL)
    FROM fleets;
  INSERT INTO changes (time_ms, body)
    SELECT 0, json_object('time', '1970-01-01T00:00:00.000Z', 'kind', 'role-changed', 'fleet', NULL, 'device', NULL,
      'entries', json_array(), 'role', json(document), 'terms', NULL, 'issuer', NULL, 'reason', NULL)
    FROM roles;
  INSERT INTO changes (time_ms, body)
    SELECT d.updated_ms, json_object('time', strftime('%Y-%m-%dT%H:%M:%fZ', d.updated_ms / 1000.0, 'unixepoch'),
      'kind', 'device-changed', 'fleet', d.fleet, 'device', d.id, 'entries', json((
        SELECT json_group_array(json_object('fingerprint', c.fingerprint, 'serialNumber', c.serial, 'device', c.device,
          'fleet', c.fleet, 'certificateState', c.state, 'deviceState', d.state, 'role', coalesce(d.role, f.role),
          'attributes', json(d.attributes), 'notBeforeMs', c.not_before_ms, 'notAfterMs', c.not_after_ms,
          'issuer', c.issuer, 'statusUntilMs', NULL, 'renewAfterMs', c.renew_after_ms))
        FROM certificates c WHERE c.device = d.id AND c.fingerprint IS NOT NULL
      )), 'role', NULL, 'terms', NULL, 'issuer', NULL, 'reason', NULL)
    FROM devices d JOIN fleets f ON f.id = d.fleet;
  `,
  // What the CA has signed for the house itself: doors, gateways, signers of OCSP. Their status can be asked for too.
  `
  CREATE TABLE house_certificates (
    issuer TEXT NOT NULL, serial TEXT NOT NULL, purpose TEXT NOT NULL, name TEXT NOT NULL,
    not_after_ms INTEGER NOT NULL, PRIMARY KEY (issuer, serial)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX house_certificates_by_end ON house_certificates (not_after_ms);
  `,
  // What a claim has enrolled is counted and revoked without a look at all the others.
  `
  CREATE INDEX certificates_by_claim ON certificates (source, device, fingerprint)
    WHERE source >= 'approval:' AND source < 'claim;';
  CREATE INDEX enrollments_by_source ON enrollments (source);
  `,
  // Foreign certificates whose state ends by itself: those that have to be asked about next.
  `
  CREATE INDEX certificates_to_ask ON certificates (issuer, status_until_ms) WHERE status_until_ms IS NOT NULL;
  `,
  // Commands, kept until they are answered or run out; how much a fleet or a device may send, and why a device
  // is thought to be two, as JSON.
  `
  CREATE TABLE commands (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, device TEXT NOT NULL, name TEXT NOT NULL,
    payload BLOB NOT NULL, content_type TEXT NOT NULL, state TEXT NOT NULL, sender TEXT NOT NULL,
    created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, delivered_ms INTEGER,
    ended_ms INTEGER, reply_status INTEGER, reply_content_type TEXT, reply_payload BLOB, revision INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX commands_of_device ON commands (device, number);
  CREATE INDEX commands_waiting ON commands (device, number, expires_ms) WHERE state = 'queued';
  CREATE INDEX commands_to_expire ON commands (expires_ms) WHERE state = 'queued';
  CREATE INDEX commands_by_end ON commands (expires_ms);
  CREATE UNIQUE INDEX commands_by_revision ON commands (revision);
  ALTER TABLE fleets ADD COLUMN limits TEXT;
  ALTER TABLE devices ADD COLUMN limits TEXT;
  ALTER TABLE devices ADD COLUMN suspicion TEXT;
  `,
];
