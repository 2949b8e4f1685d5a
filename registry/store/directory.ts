/**
 * The directory of a gateway that shares the registry's file: prepared look-ups on a read-only connection of its own.
 * Answers are remembered until the next commit, whatever it wrote: a storm of reconnects is answered from memory, and
 * nothing is ever stale.
 */
import Database, { type Statement } from 'better-sqlite3';
import { CommitCount } from '#common/commit-count.ts';
import type {
  Directory,
  DirectoryEntry,
  FleetTerms,
  IssuerEntry,
  RoleDocument,
} from '#common/contract/directory.ts';
import { type EntryRow, entryOf } from '#common/contract/directory-row.ts';
import type { DeviceId, Fingerprint, FleetId } from '#common/identity.ts';
import type { Tables } from './tables.ts';

/** A reserved certificate has no fingerprint: nobody can find it. A deleted device leaves its row, in that state. */
export const entrySelect = `
  SELECT c.fingerprint, c.serial, c.device, c.fleet, c.state AS certificate_state, d.state AS device_state,
         coalesce(d.role, d.assigned_role, f.role) AS role, d.attributes, c.not_before_ms, c.not_after_ms,
         c.issuer, c.status_until_ms, c.renew_after_ms, d.limits
  FROM certificates c JOIN devices d ON d.id = c.device JOIN fleets f ON f.id = d.fleet`;

/** An issuer as the gateways need it; its row holds more. */
export const issuerSelect = 'SELECT id, kind, state, certificate, fleet, mode, status_until_ms FROM issuers';

export type IssuerRow = Pick<
  Tables['issuers'],
  'id' | 'kind' | 'state' | 'certificate' | 'fleet' | 'mode' | 'status_until_ms'
>;

export const issuerOf = (row: IssuerRow): IssuerEntry => ({
  id: row.id,
  kind: row.kind,
  state: row.state,
  certificate: row.certificate,
  fleet: row.fleet as FleetId | null,
  mode: row.mode,
  statusUntilMs: row.status_until_ms,
});

/** What the gateways must know of a fleet, out of its row. */
export const termsOf = (
  id: FleetId,
  row: Pick<Tables['fleets'], 'grace_ms' | 'skew_ms' | 'limits'>,
): FleetTerms => ({
  id,
  graceMs: row.grace_ms,
  skewMs: row.skew_ms,
  limits: row.limits === null ? null : JSON.parse(row.limits),
});

/** All of a certificate that an entry needs, out of one covering index. */
const certificateSelect = `
  SELECT fingerprint, serial, device, fleet, state, not_before_ms, not_after_ms, issuer, status_until_ms, renew_after_ms
  FROM certificates WHERE fingerprint = ?`;

const deviceSelect =
  'SELECT fleet, state, coalesce(role, assigned_role), attributes, limits FROM devices WHERE id = ?';

/** The values of `certificateSelect` and `deviceSelect` by their names, with the role of the device's fleet. */
function rowOf(certificate: unknown[], device: unknown[], fleetRole: string): EntryRow {
  const [fingerprint, serial, id, fleet, state, from, until, issuer, statusUntilMs, renewAfterMs] =
    certificate;
  const [, deviceState, ownRole, attributes, limits] = device;
  return {
    fingerprint,
    serial,
    device: id,
    fleet,
    certificate_state: state,
    device_state: deviceState,
    role: ownRole ?? fleetRole,
    attributes,
    not_before_ms: from,
    not_after_ms: until,
    issuer,
    status_until_ms: statusUntilMs,
    renew_after_ms: renewAfterMs,
    limits,
  } as EntryRow;
}

interface Fleet {
  readonly terms: FleetTerms;
  readonly role: string;
}

/** Entries of a generation, about 0.5 kB each. */
const generationSize = 32_768;

interface Remembered {
  readonly entry: DirectoryEntry;
  readonly asOf: number;
}

export class FileDirectory implements Directory, Disposable {
  readonly #db: Database.Database;
  readonly #commits: () => number;
  /** What was looked up, each good as of a number of commits and of no other: the newest, and those before them. */
  #remembered = new Map<Fingerprint, Remembered>();
  #earlier = new Map<Fingerprint, Remembered>();
  readonly #certificate: Statement<[string]>;
  readonly #device: Statement<[string]>;
  readonly #ofDevice: Statement<[string], EntryRow>;
  readonly #role: Statement<[string], { document: string }>;
  readonly #fleet: Statement<[string], Pick<Tables['fleets'], 'role' | 'grace_ms' | 'skew_ms' | 'limits'>>;
  readonly #allIssuers: Statement<[], IssuerRow>;
  #fleets: { readonly byId: Map<FleetId, Fleet>; readonly asOf: number } = { byId: new Map(), asOf: -1 };
  #issuers: { readonly byId: ReadonlyMap<string, IssuerEntry>; readonly asOf: number } | undefined;
  /** Documents by name with the text they were parsed from, so that an unchanged role is the same object. */
  readonly #roles = new Map<string, { text: string; role: RoleDocument; asOf: number }>();

  /** Whatever was committed until now is seen from now on; in the process that writes nothing has to be done for it. */
  readonly fresh: () => void;

  private constructor(db: Database.Database, commits: () => number, fresh = () => {}) {
    this.#db = db;
    this.fresh = fresh;
    this.#commits = commits;
    // Two look-ups instead of a join: SQLite, as it is built here (SQLITE_ENABLE_STAT4), plans a join anew for every value
    // that it is asked with, which costs three times the look-up. Bare values: an object with names for them costs a fifth.
    this.#certificate = db.prepare<[string]>(certificateSelect).raw();
    this.#device = db.prepare<[string]>(deviceSelect).raw();
    this.#ofDevice = db.prepare(`${entrySelect} WHERE c.device = ? AND c.fingerprint IS NOT NULL`);
    this.#role = db.prepare('SELECT document FROM roles WHERE name = ?');
    this.#fleet = db.prepare('SELECT role, grace_ms, skew_ms, limits FROM fleets WHERE id = ?');
    this.#allIssuers = db.prepare(issuerSelect);
  }

  /** `commits` counts what was written to the file since the program started, by anyone. */
  static open(path: string, commits: () => number): FileDirectory {
    return new FileDirectory(readOnly(path), commits);
  }

  /** In a process that does not write the file. */
  static openElsewhere(path: string): FileDirectory {
    const db = readOnly(path);
    const count = new CommitCount(db);
    return new FileDirectory(
      db,
      () => count.now(),
      () => count.fresh(),
    );
  }

  find(fingerprint: Fingerprint): DirectoryEntry | undefined {
    const asOf = this.#commits();
    const known = this.#remembered.get(fingerprint) ?? this.#earlier.get(fingerprint);
    if (known?.asOf === asOf) return known.entry;
    const certificate = this.#certificate.get(fingerprint) as unknown[] | undefined;
    const device = certificate && (this.#device.get(certificate[2] as string) as unknown[] | undefined);
    const fleet = device && this.#fleetOf(device[0] as FleetId);
    if (!fleet) return undefined;
    const entry = entryOf(rowOf(certificate, device, fleet.role));
    this.#remember(fingerprint, { entry, asOf });
    return entry;
  }

  /** Two generations: dropping one costs nothing a look-up, as keeping an order would. */
  #remember(fingerprint: Fingerprint, found: Remembered): void {
    if (this.#remembered.size >= generationSize) {
      this.#earlier = this.#remembered;
      this.#remembered = new Map();
    }
    this.#remembered.set(fingerprint, found);
  }

  ofDevice(device: DeviceId): DirectoryEntry[] {
    return this.#ofDevice.all(device).map(entryOf);
  }

  role(name: string): RoleDocument | undefined {
    const asOf = this.#commits();
    const known = this.#roles.get(name);
    if (known?.asOf === asOf) return known.role;
    const text = this.#role.get(name)?.document;
    if (text === undefined) return undefined;
    const role = known?.text === text ? known.role : (JSON.parse(text) as RoleDocument);
    this.#roles.set(name, { text, role, asOf });
    return role;
  }

  fleet(id: FleetId): FleetTerms | undefined {
    return this.#fleetOf(id)?.terms;
  }

  #fleetOf(id: FleetId): Fleet | undefined {
    const asOf = this.#commits();
    if (this.#fleets.asOf !== asOf) this.#fleets = { byId: new Map(), asOf };
    const known = this.#fleets.byId.get(id);
    if (known) return known;
    const row = this.#fleet.get(id);
    const fleet = row && { terms: termsOf(id, row), role: row.role };
    if (fleet) this.#fleets.byId.set(id, fleet);
    return fleet;
  }

  issuer(id: string): IssuerEntry | undefined {
    return this.#issuersNow().get(id);
  }

  issuers(): readonly IssuerEntry[] {
    return [...this.#issuersNow().values()].filter(({ state }) => state !== 'removed');
  }

  #issuersNow(): ReadonlyMap<string, IssuerEntry> {
    const asOf = this.#commits();
    if (this.#issuers?.asOf !== asOf) {
      this.#issuers = { byId: new Map(this.#allIssuers.all().map((row) => [row.id, issuerOf(row)])), asOf };
    }
    return this.#issuers.byId;
  }

  lagMs(): number {
    return 0;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

function readOnly(path: string): Database.Database {
  const db = new Database(path, { readonly: true });
  // Pages are looked at where the system has them, not copied: half the cost of a look-up that is not in the cache.
  db.pragma('mmap_size = 4294967296');
  return db;
}
