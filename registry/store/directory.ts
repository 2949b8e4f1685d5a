/**
 * The directory of a gateway that shares the registry's file: prepared look-ups on a read-only connection of its own,
 * a few microseconds each, never stale.
 */
import Database, { type Statement } from 'better-sqlite3';
import type { Directory, DirectoryEntry, RoleDocument } from '#common/contract/directory.ts';
import type { DeviceId, Fingerprint } from '#common/identity.ts';

/** One row of the join that makes a directory entry. */
export interface EntryRow {
  fingerprint: Fingerprint;
  serial: string;
  device: DeviceId;
  fleet: DirectoryEntry['fleet'];
  certificate_state: DirectoryEntry['certificateState'];
  device_state: DirectoryEntry['deviceState'];
  role: string;
  attributes: string;
  not_before_ms: number;
  not_after_ms: number;
}

/** A reserved certificate has no fingerprint: nobody can find it. A deleted device leaves its row, in that state. */
export const entrySelect = `
  SELECT c.fingerprint, c.serial, c.device, c.fleet, c.state AS certificate_state, d.state AS device_state,
         coalesce(d.role, f.role) AS role, d.attributes, c.not_before_ms, c.not_after_ms
  FROM certificates c JOIN devices d ON d.id = c.device JOIN fleets f ON f.id = d.fleet`;

const noAttributes: DirectoryEntry['attributes'] = Object.freeze({});

export function entryOf(row: EntryRow): DirectoryEntry {
  return {
    fingerprint: row.fingerprint,
    serialNumber: row.serial,
    device: row.device,
    fleet: row.fleet,
    certificateState: row.certificate_state,
    deviceState: row.device_state,
    role: row.role,
    attributes: row.attributes === '{}' ? noAttributes : JSON.parse(row.attributes),
    notBeforeMs: row.not_before_ms,
    notAfterMs: row.not_after_ms,
  };
}

export class FileDirectory implements Directory, Disposable {
  readonly #db: Database.Database;
  readonly #find: Statement<[string], EntryRow>;
  readonly #ofDevice: Statement<[string], EntryRow>;
  readonly #role: Statement<[string], { document: string }>;
  /** Documents by name with the text they were parsed from, so that an unchanged role is the same object. */
  readonly #roles = new Map<string, { text: string; role: RoleDocument }>();

  private constructor(db: Database.Database) {
    this.#db = db;
    this.#find = db.prepare(`${entrySelect} WHERE c.fingerprint = ?`);
    this.#ofDevice = db.prepare(`${entrySelect} WHERE c.device = ? AND c.fingerprint IS NOT NULL`);
    this.#role = db.prepare('SELECT document FROM roles WHERE name = ?');
  }

  static open(path: string): FileDirectory {
    const db = new Database(path, { readonly: true });
    // Pages are looked at where the system has them, not copied: half the cost of a look-up that is not in the cache.
    db.pragma('mmap_size = 4294967296');
    return new FileDirectory(db);
  }

  find(fingerprint: Fingerprint): DirectoryEntry | undefined {
    const row = this.#find.get(fingerprint);
    return row && entryOf(row);
  }

  ofDevice(device: DeviceId): DirectoryEntry[] {
    return this.#ofDevice.all(device).map(entryOf);
  }

  role(name: string): RoleDocument | undefined {
    const text = this.#role.get(name)?.document;
    if (text === undefined) return undefined;
    const known = this.#roles.get(name);
    if (known?.text === text) return known.role;
    const role = JSON.parse(text) as RoleDocument;
    this.#roles.set(name, { text, role });
    return role;
  }

  lagMs(): number {
    return 0;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
