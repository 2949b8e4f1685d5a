/**
 * The replica of another process of this gateway, read: it follows what that process commits, and is as old as it says the
 * replica is. It writes nothing and follows no feed.
 */
import Database, { type Statement } from 'better-sqlite3';
import type { Clock } from '#common/clock.ts';
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

interface Read {
  readonly text: string;
  readonly document: unknown;
  asOf: number;
}

export class ReplicaReader implements Directory, Disposable {
  readonly #db: Database.Database;
  readonly #clock: Clock;
  readonly #commits: CommitCount;
  readonly #find: Statement<[string], EntryRow>;
  readonly #ofDevice: Statement<[string], EntryRow>;
  readonly #document: Statement<[string, string], string>;
  readonly #issuerNames: Statement<[], string>;
  readonly #heard: Statement<[], number>;
  /** Parsed documents by kind and name, with their texts, so that one that has not changed is the same object. */
  readonly #documents = new Map<string, Read>();
  #heardMs = { value: 0, asOf: -1 };

  private constructor(db: Database.Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
    this.#commits = new CommitCount(db);
    this.#find = db.prepare('SELECT * FROM entries WHERE fingerprint = ?');
    this.#ofDevice = db.prepare('SELECT * FROM entries WHERE device = ?');
    this.#document = db
      .prepare<[string, string], string>('SELECT document FROM documents WHERE kind = ? AND name = ?')
      .pluck();
    this.#issuerNames = db.prepare<[], string>(`SELECT name FROM documents WHERE kind = 'issuer'`).pluck();
    this.#heard = db.prepare<[], number>('SELECT heard FROM progress').pluck();
  }

  /** The file is there: its writer has opened it before. */
  static open(path: string, clock: Clock): ReplicaReader {
    return new ReplicaReader(new Database(path, { readonly: true }), clock);
  }

  /** Whatever was committed until now is seen from now on. */
  fresh(): void {
    this.#commits.fresh();
  }

  find(fingerprint: Fingerprint): DirectoryEntry | undefined {
    const row = this.#find.get(fingerprint);
    return row && entryOf(row);
  }

  ofDevice(device: DeviceId): DirectoryEntry[] {
    return this.#ofDevice.all(device).map(entryOf);
  }

  role(name: string): RoleDocument | undefined {
    return this.#read('role', name) as RoleDocument | undefined;
  }

  fleet(id: FleetId): FleetTerms | undefined {
    return this.#read('fleet', id) as FleetTerms | undefined;
  }

  issuer(id: string): IssuerEntry | undefined {
    return this.#read('issuer', id) as IssuerEntry | undefined;
  }

  issuers(): readonly IssuerEntry[] {
    return this.#issuerNames.all().flatMap((name) => {
      const issuer = this.issuer(name);
      return issuer && issuer.state !== 'removed' ? [issuer] : [];
    });
  }

  lagMs(): number {
    const asOf = this.#commits.now();
    if (this.#heardMs.asOf !== asOf) this.#heardMs = { value: this.#heard.get() ?? 0, asOf };
    const { value } = this.#heardMs;
    return value === 0 ? Number.POSITIVE_INFINITY : Math.max(0, this.#clock.now() - value);
  }

  #read(kind: string, name: string): unknown {
    const asOf = this.#commits.now();
    const key = `${kind}/${name}`;
    const known = this.#documents.get(key);
    if (known?.asOf === asOf) return known.document;
    const text = this.#document.get(kind, name);
    if (text === undefined) return undefined;
    if (known?.text === text) known.asOf = asOf;
    else this.#documents.set(key, { text, document: JSON.parse(text), asOf });
    return this.#documents.get(key)!.document;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
