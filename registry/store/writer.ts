/**
 * All writes of the registry, in groups: jobs that arrive while a commit is under way share the next one, each in a
 * savepoint of its own. A thousand enrollments a second then cost a few dozen waits for the disk.
 */
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { Tables } from './tables.ts';

export type Write = Transaction<Tables>;

interface Job {
  run(write: Write): Promise<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

interface Outcome {
  job: Job;
  value?: unknown;
  error?: unknown;
  failed: boolean;
}

/**
 * A commit holds up the thread while the disk is waited for, and a gateway may share that thread: after one, as much time
 * is left to the others. A group that gathers meanwhile costs no more than one job.
 */
const restShare = 1;
const longestRestMs = 20;
/** Most jobs of one transaction, so that one commit stays short. */
const groupLimit = 256;

export class Writer {
  readonly #db: Kysely<Tables>;
  #queue: Job[] = [];
  #draining: Promise<void> | undefined;
  #commits = 0;
  /** Until when the loop belongs to others. */
  #restUntilMs = 0;
  readonly #clock: Clock;

  constructor(db: Kysely<Tables>, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** Resolves with the job's value once it is on disk; rejects with the job's error, or the commit's, changing nothing. */
  write<T>(run: (write: Write) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ run, resolve: resolve as (value: unknown) => void, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Grows with every commit, before anybody hears of it. */
  get commits(): number {
    return this.#commits;
  }

  async #drain(): Promise<void> {
    // One turn of the loop, so that requests that arrived together are written together.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) {
      const restMs = this.#restUntilMs - this.#clock.elapsed();
      if (restMs > 0) await this.#clock.sleep(restMs);
      const begunMs = this.#clock.elapsed();
      await this.#commit(this.#queue.splice(0, groupLimit));
      const nowMs = this.#clock.elapsed();
      this.#restUntilMs = nowMs + Math.min((nowMs - begunMs) * restShare, longestRestMs);
    }
    this.#draining = undefined;
  }

  async #commit(group: Job[]): Promise<void> {
    let outcomes: Outcome[] = [];
    try {
      await this.#db.transaction().execute(async (write) => {
        outcomes = [];
        for (const job of group) outcomes.push(await attempt(job, write));
      });
    } catch (error) {
      for (const job of group) job.reject(error);
      return;
    } finally {
      this.#commits += 1;
    }
    for (const { job, failed, error, value } of outcomes) {
      if (failed) job.reject(error);
      else job.resolve(value);
    }
  }

  async close(): Promise<void> {
    await this.#draining;
    await this.#db.destroy();
  }
}

async function attempt(job: Job, write: Write): Promise<Outcome> {
  await sql`SAVEPOINT job`.execute(write);
  try {
    const value = await job.run(write);
    await sql`RELEASE job`.execute(write);
    return { job, value, failed: false };
  } catch (error) {
    await sql`ROLLBACK TO job`.execute(write);
    await sql`RELEASE job`.execute(write);
    return { job, error, failed: true };
  }
}
