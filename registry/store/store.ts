/** The registry's database: opened once, by one process, at the version of this program; read here, written by Writer. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Kysely, SqliteDialect } from 'kysely';
import { systemClock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { migrations } from './migrations.ts';
import { preparedOnce } from './prepared.ts';
import type { Tables } from './tables.ts';
import { Writer } from './writer.ts';

export class Store implements AsyncDisposable {
  /** For queries; writes go through `writer`. */
  readonly read: Kysely<Tables>;
  readonly writer: Writer;
  readonly path: string;
  readonly #lock: Database.Database;
  readonly #reader: Database.Database;

  private constructor(path: string, db: Database.Database, lock: Database.Database) {
    this.path = path;
    this.#lock = lock;
    const reader = new Database(path, { readonly: true });
    this.#reader = reader;
    this.read = new Kysely<Tables>({ dialect: new SqliteDialect({ database: preparedOnce(reader) }) });
    this.writer = new Writer(
      new Kysely<Tables>({ dialect: new SqliteDialect({ database: preparedOnce(db) }) }),
      systemClock,
    );
  }

  /**
   * Opens `registry.db` in a folder, making or migrating it. Faults `conflict` when another process holds the folder,
   * or when the file was written by a newer program.
   */
  static open(dir: string): Store {
    const lock = holdFolder(dir);
    try {
      const path = join(dir, 'registry.db');
      const db = new Database(path);
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = FULL');
      db.pragma('foreign_keys = ON');
      db.pragma('busy_timeout = 5000');
      migrate(db, path);
      return new Store(path, db, lock);
    } catch (thrown) {
      lock.close();
      throw thrown;
    }
  }

  /** For /readyz: true, or why the database cannot be read. */
  probe(): true | string {
    try {
      this.#reader.prepare('SELECT 1 FROM fleets').get();
      return true;
    } catch (thrown) {
      return `the database cannot be read: ${(thrown as Error).message}`;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writer.close();
    await this.read.destroy();
    this.#lock.close();
  }
}

/** A lock that the system releases when the process ends, however it ends. */
function holdFolder(dir: string): Database.Database {
  const lock = new Database(join(dir, 'registry.lock'), { timeout: 0 });
  try {
    lock.pragma('journal_mode = DELETE');
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (cause) {
    lock.close();
    throw new Fault(
      'conflict',
      `The data folder ${dir} is already in use by another fleetgate; stop that one first.`,
      {
        cause,
      },
    );
  }
}

function migrate(db: Database.Database, path: string): void {
  const version = db.pragma('user_version', { simple: true }) as number;
  if (version > migrations.length) {
    throw new Fault(
      'conflict',
      `${path} is of version ${version}, newer than this program (${migrations.length}); run the newer program.`,
    );
  }
  for (let next = version; next < migrations.length; next++) {
    db.transaction(() => {
      db.exec(migrations[next]!);
      db.pragma(`user_version = ${next + 1}`);
    })();
  }
}
