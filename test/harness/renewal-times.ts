/** Time for those who cannot wait: certificates of the profile `device` that may be renewed as soon as they are issued. */
import { join } from 'node:path';
import Database from 'better-sqlite3';

/** Before the first enrollment, since profiles are remembered. `dataDir` is that of a registry that runs. */
export function renewFromTheStart(dataDir: string): void {
  const db = new Database(join(dataDir, 'registry.db'));
  db.pragma('busy_timeout = 5000');
  // A millionth of the validity: half a minute of a year.
  db.prepare(
    `UPDATE profiles SET document =
       json_set(document, '$.renewal.from', 1e-9, '$.renewal.to', 1e-9, '$.maxCertificates', 32)
     WHERE name = 'device'`,
  ).run();
  db.close();
}
