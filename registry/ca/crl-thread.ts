/**
 * The entry of a thread that reads what is revoked out of the registry's file and encodes the list, so that neither is
 * felt where devices and operators are heard. It ends with its one answer, and never sees a key.
 */
import { parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { buildTbsCrl, type RevokedEntry } from './crl.ts';
import type { CrlTask } from './crl-build.ts';

const { path, issuer, contents, notAfterMs } = workerData as CrlTask;
const bytesOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
let entries = 0;

/**
 * Out of an index that holds all of it, in its order; left to itself SQLite takes the primary key, and reads a million
 * rows. What was held is listed with its reason, and may come off again.
 */
function* revokedOf(db: Database.Database): Generator<RevokedEntry> {
  const rows = db
    .prepare<[string, number]>(
      `SELECT serial, coalesce(revoked_ms, 0), reason FROM certificates INDEXED BY certificates_revoked
       WHERE issuer = ? AND state IN ('revoked', 'held') AND not_after_ms >= ? ORDER BY serial`,
    )
    .raw()
    .iterate(issuer, notAfterMs) as IterableIterator<[string, number, string | null]>;
  for (const [serial, revokedMs, reason] of rows) {
    entries += 1;
    yield { serial, revokedMs, reason };
  }
}

const db = new Database(path, { readonly: true });
try {
  const { issuerName, authorityKeyId, algorithm, ...rest } = contents;
  const named = {
    ...rest,
    issuerName: bytesOf(issuerName),
    authorityKeyId: bytesOf(authorityKeyId),
    algorithm: bytesOf(algorithm),
  };
  const tbs = new Uint8Array(buildTbsCrl(named, revokedOf(db)));
  parentPort!.postMessage({ tbs, entries }, [tbs.buffer]);
} finally {
  db.close();
}
