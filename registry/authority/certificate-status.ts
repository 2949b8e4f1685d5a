/** The status of certificates as the OCSP responder asks for it: prepared look-ups on a read-only connection of its own. */
import Database, { type Statement } from 'better-sqlite3';
import type { CertificateState } from '#common/contract/directory.ts';
import type { CertStatus } from '../ca/ocsp-response.ts';

interface StatusRow {
  state: CertificateState;
  revoked_ms: number | null;
  reason: string | null;
}

export class CertificateStatuses implements Disposable {
  readonly #db: Database.Database;
  readonly #device: Statement<[string, string], StatusRow>;
  readonly #house: Statement<[string, string]>;

  private constructor(db: Database.Database) {
    this.#db = db;
    this.#device = db.prepare(
      'SELECT state, revoked_ms, reason FROM certificates WHERE issuer = ? AND serial = ?',
    );
    this.#house = db.prepare('SELECT 1 FROM house_certificates WHERE issuer = ? AND serial = ?');
  }

  /** Of the registry's file. */
  static open(path: string): CertificateStatuses {
    return new CertificateStatuses(new Database(path, { readonly: true }));
  }

  /** By the issuer's id and the serial number in lower-case hex. */
  of(issuer: string, serial: string): CertStatus {
    const row = this.#device.get(issuer, serial);
    if (row) return statusOf(row);
    return this.#house.get(issuer, serial) === undefined ? { kind: 'unknown' } : { kind: 'good' };
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

/** What is reserved is not issued: nobody can have it yet. Held is revoked with a reason that may go away again. */
function statusOf({ state, revoked_ms, reason }: StatusRow): CertStatus {
  if (state === 'issued') return { kind: 'good' };
  if (state === 'reserved') return { kind: 'unknown' };
  return { kind: 'revoked', atMs: revoked_ms ?? 0, reason: state === 'held' ? 'certificateHold' : reason };
}
