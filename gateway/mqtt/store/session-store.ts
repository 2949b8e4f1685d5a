/** The store of sessions: one SQLite file, which several processes may have open, and the parts that know its tables. */
import { fdatasync } from 'node:fs';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import type { Cancel, Clock } from '#common/clock.ts';
import type { Logger } from '#common/log.ts';
import type { MqttSettings } from '../../settings.ts';
import { Checkpointer } from './checkpointer.ts';
import { GroupCommit } from './group-commit.ts';
import { IncomingTable } from './incoming-table.ts';
import { KeptSessions } from './kept-sessions.ts';
import { MessageQueue } from './message-queue.ts';
import { RetainedTable } from './retained-table.ts';
import { openSessionFile } from './schema.ts';
import { SessionTable } from './session-table.ts';
import { SubscriptionTable } from './subscription-table.ts';
import { WillTable } from './will-table.ts';

export interface SessionStoreOptions {
  dataDir: string;
  /** Name of this process among those that share the file; the same after a restart. */
  process: string;
  /** Names of the others that may have the file open now. */
  neighbours: readonly string[];
  settings: StoreSettings;
  clock: Clock;
  log: Logger;
}

export type StoreSettings = Pick<
  MqttSettings,
  'maxStoredMessages' | 'maxStoredSize' | 'maxRetainedMessages' | 'maxRetainedSize' | 'maxStoreSize'
>;

/** What has expired goes so often; sessions and Wills are looked at more often, by who publishes them. */
const sweepMs = 60_000;
const sweptAtOnce = 500;
const pageBytes = 4096;
/** The same failure of a disk is said so often. */
const complaintMs = 10_000;

export class SessionStore implements AsyncDisposable {
  readonly index: KeptSessions;
  readonly sessions: SessionTable;
  readonly subscriptions: SubscriptionTable;
  readonly queue: MessageQueue;
  readonly retained: RetainedTable;
  readonly incoming: IncomingTable;
  readonly wills: WillTable;
  readonly clock: Clock;
  readonly #db: Database.Database;
  readonly #commit: GroupCommit;
  readonly #checkpointer: Checkpointer;
  readonly #cancel: Cancel;

  private constructor(options: SessionStoreOptions, db: Database.Database, path: string) {
    const { clock, log, process, settings } = options;
    this.#db = db;
    this.clock = clock;
    this.#checkpointer = new Checkpointer(path);
    let complainedMs = Number.NEGATIVE_INFINITY;
    const failed = (error: Error) => {
      if (clock.elapsed() - complainedMs < complaintMs) return;
      complainedMs = clock.elapsed();
      log.error({ error: error.message }, 'The file of the sessions could not be written.');
    };
    const checkpoint = () => this.#checkpointer.run();
    const commit = new GroupCommit({ db, path, clock, checkpoint, sync: fdatasync, failed });
    this.#commit = commit;
    this.index = new KeptSessions(db, options.neighbours.length > 0);
    this.subscriptions = new SubscriptionTable(db, commit, this.index);
    this.queue = new MessageQueue(db, commit, {
      maxMessages: settings.maxStoredMessages,
      maxBytes: settings.maxStoredSize,
    });
    this.retained = new RetainedTable(db, commit, {
      maxMessages: settings.maxRetainedMessages,
      maxBytes: settings.maxRetainedSize,
    });
    this.incoming = new IncomingTable(db, commit);
    this.wills = new WillTable(db, commit);
    const { index, queue, wills } = this;
    this.sessions = new SessionTable({ db, commit, index, queue, wills, process });
    this.#cancel = clock.every(sweepMs, () => void this.sweep(), 0.1);
  }

  /**
   * Opens or makes `sessions.db`. Whoever was connected to a process that is none of the neighbours is away now, and
   * sessions that ended meanwhile are gone. Faults `conflict` when another version wrote the file.
   */
  static async open(options: SessionStoreOptions): Promise<SessionStore> {
    const path = join(options.dataDir, 'sessions.db');
    const db = openSessionFile(path);
    // From here on nobody waits for a lock where devices are heard.
    db.pragma('busy_timeout = 0');
    db.pragma(`max_page_count = ${Math.ceil(options.settings.maxStoreSize / pageBytes)}`);
    const store = new SessionStore(options, db, path);
    try {
      const nowMs = options.clock.now();
      await store.sessions.abandonAllBut(options.neighbours, nowMs);
      while (await store.sessions.expire(nowMs));
      return store;
    } catch (thrown) {
      await store[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** Bounds the file, in pages of 4 KiB: how a full disk is played in tests. */
  limitPages(pages: number): void {
    this.#db.pragma(`max_page_count = ${pages}`);
  }

  /** True, or why nothing can be stored. */
  probe(): true | string {
    return this.#commit.broken === null || `sessions cannot be stored: ${this.#commit.broken}`;
  }

  /** Resolves when everything that was asked for is done. */
  settled(): Promise<void> {
    return this.#commit.settled();
  }

  /** Drops messages that nobody needs any more. */
  async sweep(): Promise<void> {
    const nowMs = this.clock.now();
    try {
      await this.#commit.note(() => {
        this.queue.expire(nowMs, sweptAtOnce);
        this.retained.expire(nowMs, sweptAtOnce);
        this.index.trim();
      });
    } catch {
      // The disk: said where it failed. The next sweep tries again.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    await this.#commit.settled();
    this.#commit.close();
    // The thread has the last wait for the disk; what is left to close here is little.
    await this.#checkpointer.run().catch(() => {
      // The log stays beside the database and is read at the next start.
    });
    await this.#checkpointer[Symbol.asyncDispose]();
    this.#db.close();
  }
}
