/**
 * Counts what other connections have committed to a SQLite file, for whoever remembers what it has read. It looks at most
 * once a turn of the loop, or when it is told that there is something: a look costs as much as a read.
 */

/** What is needed of a database. */
interface Readable {
  prepare(sql: string): { pluck(): { get(): unknown } };
}

export class CommitCount {
  readonly #version: { get(): unknown };
  #seen = 0;
  #looked = false;

  constructor(db: Readable) {
    this.#version = db.prepare('PRAGMA data_version').pluck();
  }

  /** Changes with every commit of somebody else (https://sqlite.org/pragma.html#pragma_data_version). */
  now(): number {
    if (!this.#looked) {
      this.#looked = true;
      this.#seen = this.#version.get() as number;
      setImmediate(this.#forget);
    }
    return this.#seen;
  }

  /** There may have been a commit in this very turn: the next question looks again. */
  fresh(): void {
    this.#looked = false;
  }

  readonly #forget = (): void => {
    this.#looked = false;
  };
}
