/** Time for those who cannot wait: certificates that may be renewed as soon as they are issued, or have run out. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { systemClock } from '#common/clock.ts';

/** Before the first enrollment, since profiles are remembered. `dataDir` is that of a registry that runs. */
export function renewFromTheStart(dataDir: string): void {
  using db = open(dataDir);
  // A millionth of the validity: half a minute of a year.
  db.prepare(
    `UPDATE profiles SET document =
       json_set(document, '$.renewal.from', 1e-9, '$.renewal.to', 1e-9, '$.maxCertificates', 32)
     WHERE name = 'device'`,
  ).run();
}

/** As if it had run out so long ago. Before anybody has looked at the certificate, since look-ups are remembered. */
export function expireCertificate(dataDir: string, fingerprint: string, agoMs: number): void {
  using db = open(dataDir);
  const update = db.prepare('UPDATE certificates SET not_after_ms = ? WHERE fingerprint = ?');
  update.run(systemClock.now() - agoMs, fingerprint);
}

function open(dataDir: string): Database.Database & Disposable {
  const db = new Database(join(dataDir, 'registry.db'));
  db.pragma('busy_timeout = 5000');
  return Object.assign(db, { [Symbol.dispose]: () => void db.close() });
}
