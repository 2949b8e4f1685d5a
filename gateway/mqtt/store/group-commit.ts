/**
 * Every write of the sessions, in groups: what arrives in one turn of the loop, or while the disk is being waited for,
 * shares one transaction and one wait. The commit itself writes to the log in the page cache, which costs microseconds;
 * the wait is an fdatasync of the log by libuv. Decision 10 says why that is enough.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import type Database from 'better-sqlite3';
import type { Statement } from 'better-sqlite3';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';

/** Moves the log into the database, in a thread of its own. */
export type Checkpoint = () => Promise<void>;

/** Resolves the wait for the disk: `fdatasync`. */
export type Sync = (descriptor: number, done: (error: Error | null) => void) => void;

interface Job {
  readonly run: () => unknown;
  /** Whether its promise is one to somebody else: then it waits for the disk. */
  readonly durable: boolean;
  /** Of how many ordinary jobs it has the size. */
  readonly weight: number;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  value?: unknown;
}

export interface GroupCommitOptions {
  db: Database.Database;
  path: string;
  clock: Clock;
  checkpoint: Checkpoint;
  sync: Sync;
  /** Told of every failure of the disk. */
  failed: (error: Error) => void;
}

/** Most ordinary jobs of one transaction, so that one turn stays short. */
const groupLimit = 256;
/** Jobs that wait; more are refused. */
export const pendingLimit = 20_000;
/** Size of the log at which it is moved into the database. */
const checkpointBytes = 16 * 1024 * 1024;
/** Another process writes, or the log is begun anew: it is tried again so soon, and for so long. */
const busyPauseMs = 1;
const busyLimitMs = 10_000;
const recoveryPauseMs = 1_000;

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #rollback: Statement;
  readonly #log: number;
  #queue: Job[] = [];
  /** So many jobs are tried alone, since one of them has failed. */
  #single = 0;
  #armed = false;
  #syncing = false;
  #busySinceMs: number | null = null;
  #checkpointing = false;
  /** Why nothing can be promised at the moment. */
  #broken: Error | null = null;
  #afterwards: (() => void)[] = [];
  #idle: (() => void) | null = null;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    const { db, path } = options;
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
    this.#rollback = db.prepare('ROLLBACK');
    // Open as long as we are: an error of the disk is told to descriptors that were open when it happened.
    this.#log = openSync(`${path}-wal`, 'r');
  }

  /** Why nothing can be stored, or null. */
  get broken(): string | null {
    return this.#broken?.message ?? null;
  }

  /** Resolves with what `run` returns once it would survive a power cut. Rejects, changing nothing, with `unavailable`. */
  write<T>(run: () => T, weight = 1): Promise<T> {
    return this.#add(run, true, weight) as Promise<T>;
  }

  /** The same for what nobody is promised anything by: resolves once it would survive the end of the process. */
  note<T>(run: () => T): Promise<T> {
    return this.#add(run, false, 1) as Promise<T>;
  }

  /** Within a job: runs when the transaction has been committed, in the same turn. */
  afterwards(run: () => void): void {
    this.#afterwards.push(run);
  }

  #add(run: () => unknown, durable: boolean, weight: number): Promise<unknown> {
    if (this.#broken) return Promise.reject(unavailable(this.#broken));
    if (this.#queue.length >= pendingLimit) return Promise.reject(unavailable(undefined));
    return new Promise((resolve, reject) => {
      this.#queue.push({ run, durable, weight, resolve, reject });
      this.#arm();
    });
  }

  #arm(): void {
    if (this.#armed || this.#syncing) return;
    this.#armed = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#armed = false;
    if (this.#queue.length === 0) return this.#rest();
    // An empty log waits for the thread that began it anew: the first write would wait for the disk.
    const logBytes = fstatSync(this.#log).size;
    if (logBytes === 0) {
      this.#moveLog();
      return this.#again();
    }
    const group = this.#takeGroup();
    const outcome = this.#transact(group);
    if (outcome === 'busy') {
      this.#queue = [...group, ...this.#queue];
      return this.#again();
    }
    this.#busySinceMs = null;
    if (logBytes > checkpointBytes) this.#moveLog();
    if (outcome === 'failed') return this.#next();
    for (const job of group) if (!job.durable) job.resolve(job.value);
    const promised = group.filter(({ durable }) => durable);
    if (promised.length > 0) this.#sync(promised);
    else this.#next();
  }

  #takeGroup(): Job[] {
    if (this.#single > 0) {
      this.#single -= 1;
      return this.#queue.splice(0, 1);
    }
    let count = 0;
    let weight = 0;
    while (count < this.#queue.length && weight < groupLimit) weight += this.#queue[count++]!.weight;
    return this.#queue.splice(0, count);
  }

  #next(): void {
    if (this.#queue.length > 0) this.#arm();
    else this.#rest();
  }

  #rest(): void {
    if (this.#syncing || this.#armed || this.#queue.length > 0) return;
    this.#idle?.();
    this.#idle = null;
  }

  /** Somebody else has the lock. The loop goes on meanwhile. */
  #again(): void {
    const { clock } = this.#options;
    const nowMs = clock.elapsed();
    this.#busySinceMs ??= nowMs;
    if (nowMs - this.#busySinceMs > busyLimitMs) {
      this.#busySinceMs = null;
      this.#refuseAll(new Error('Others have held the file of the sessions for too long.'));
      return this.#rest();
    }
    this.#armed = true;
    clock.after(busyPauseMs, () => this.#turn());
  }

  #transact(group: Job[]): 'committed' | 'failed' | 'busy' {
    this.#afterwards = [];
    try {
      this.#begin.run();
      for (const job of group) job.value = job.run();
      this.#commit.run();
    } catch (thrown) {
      if (this.#options.db.inTransaction) this.#rollback.run();
      const code = (thrown as { code?: string }).code ?? '';
      if (code.startsWith('SQLITE_BUSY')) return 'busy';
      return this.#fail(group, thrown as Error, code);
    }
    for (const run of this.#afterwards) run();
    return 'committed';
  }

  /** By the disk a group fails as one; by one of its jobs, and the next turns take them one by one. */
  #fail(group: Job[], error: Error, code: string): 'failed' {
    const isDisk = /^SQLITE_(FULL|IOERR|CANTOPEN|READONLY|CORRUPT|NOTADB)/.test(code);
    if (isDisk) this.#options.failed(error);
    if (isDisk || group.length === 1) {
      for (const job of group) job.reject(isDisk ? unavailable(error) : error);
      return 'failed';
    }
    this.#queue = [...group, ...this.#queue];
    this.#single = group.length;
    return 'failed';
  }

  #sync(promised: Job[]): void {
    this.#syncing = true;
    this.#options.sync(this.#log, (error) => {
      this.#syncing = false;
      if (error) {
        for (const job of promised) job.reject(unavailable(error));
        this.#breakDown(error);
      } else for (const job of promised) job.resolve(job.value);
      this.#next();
    });
  }

  #moveLog(): void {
    if (this.#checkpointing) return;
    this.#checkpointing = true;
    this.#options.checkpoint().then(
      () => {
        this.#checkpointing = false;
      },
      (error: Error) => {
        this.#checkpointing = false;
        this.#options.failed(error);
      },
    );
  }

  /**
   * After a failed sync the pages count as clean though they are not on disk, and the next sync would say that all is well.
   * Only what has been written to the database itself is known to be there: until a checkpoint has done so, nothing is
   * promised.
   */
  #breakDown(error: Error): void {
    this.#options.failed(error);
    this.#broken = error;
    this.#refuseAll(error);
    const recover = (): void => {
      this.#options.checkpoint().then(
        () => {
          this.#broken = null;
        },
        () => void this.#options.clock.after(recoveryPauseMs, recover),
      );
    };
    recover();
  }

  #refuseAll(error: Error): void {
    for (const job of this.#queue.splice(0)) job.reject(unavailable(error));
  }

  /** Resolves when what was asked for is done. */
  async settled(): Promise<void> {
    if (!this.#syncing && !this.#armed && this.#queue.length === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }

  close(): void {
    closeSync(this.#log);
  }
}

const unavailable = (cause: Error | undefined) =>
  new Fault('unavailable', 'Sessions cannot be stored at the moment; try again.', { cause });
