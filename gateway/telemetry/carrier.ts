/**
 * The carrier: spool and forwarders together, on the carrier thread. Batches that arrive while a commit is under way share
 * the next one. What was committed a moment ago is delivered from memory; what is older is read back.
 */
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import type { Backend } from './backends/backend.ts';
import type { BackendNumbers, CarrierSetup, FromCarrier, ToCarrier } from './carrier-messages.ts';
import { Forwarder } from './forwarder.ts';
import { readRecords } from './record.ts';
import { Routes } from './routes.ts';
import { type Advance, type DeadLetter, type NewBatch, Spool, type StoredBatch, spoolFile } from './spool.ts';

/** Batches kept in memory for the forwarders. */
const recentBytes = 32 * 1024 * 1024;
/** Progress alone is written down after so long; with a commit of events it goes along. */
const progressMs = 100;

type Batch = Extract<ToCarrier, { batch: number }>;

export class Carrier implements AsyncDisposable {
  readonly #spool: Spool;
  readonly #clock: Clock;
  readonly #tell: (message: FromCarrier) => void;
  readonly #routes: Routes;
  readonly #names: readonly string[];
  /** True when every event goes to every backend: then nothing has to be read to route. */
  readonly #routesAll: boolean;
  readonly #totals = new Map<string, { routed: number; delivered: number; dead: number }>();
  #forwarders: Forwarder[] = [];
  #queue: Batch[] = [];
  #scheduled = false;
  #progressDue = false;
  /** By id, ascending and without gaps: the newest batches. */
  #recent: StoredBatch[] = [];
  #recentSize = 0;

  private constructor(setup: CarrierSetup, spool: Spool, clock: Clock, tell: (message: FromCarrier) => void) {
    this.#spool = spool;
    this.#clock = clock;
    this.#tell = tell;
    this.#routes = new Routes(setup.routes);
    this.#names = Object.keys(setup.backends);
    this.#routesAll = setup.routes.some(
      ({ match, to }) => match === '#' && this.#names.every((name) => to.includes(name)),
    );
  }

  /** Opens spool and backends and starts to forward what is left from before. Faults `conflict`. */
  static async open(
    setup: CarrierSetup,
    clock: Clock,
    tell: (message: FromCarrier) => void,
  ): Promise<Carrier> {
    const spool = Spool.open(join(setup.dataDir, spoolFile(setup.label)), Object.keys(setup.backends));
    if (setup.spoolPages !== undefined) spool.limitPages(setup.spoolPages);
    const carrier = new Carrier(setup, spool, clock, tell);
    try {
      for (const [name, settings] of Object.entries(setup.backends)) {
        const backend = await openBackend(setup, settings, clock);
        carrier.#forward(name, backend, setup);
      }
    } catch (thrown) {
      await carrier[Symbol.asyncDispose]();
      throw thrown;
    }
    return carrier;
  }

  #forward(name: string, backend: Backend, setup: CarrierSetup): void {
    const progress = this.#spool.progress(name);
    this.#totals.set(name, { ...progress });
    const settings = setup.backends[name]!;
    const retry =
      settings.type === 'http'
        ? { firstMs: settings.retryFirst, limitMs: settings.retryLimit }
        : { firstMs: 200, limitMs: 10_000 };
    this.#forwarders.push(
      new Forwarder({
        name,
        backend,
        routes: this.#routes,
        epoch: this.#spool.epoch,
        progress,
        after: (id) => this.#after(id),
        lingerMs: settings.linger,
        retry,
        maxAttempts: setup.spool.maxDeliveryAttempts,
        clock: this.#clock,
        advanced: () => this.#scheduleProgress(),
      }),
    );
  }

  accept(batch: Batch): void {
    this.#queue.push(batch);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#commit());
  }

  get spoolBytes(): number {
    return this.#spool.bytes;
  }

  numbers(): BackendNumbers[] {
    return this.#forwarders.map((forwarder) => {
      const { routed, delivered, dead } = this.#totals.get(forwarder.name)!;
      const pending = routed - delivered - dead;
      return {
        name: forwarder.name,
        routed,
        delivered,
        dead,
        pending,
        up: forwarder.up,
        oldestMs: pending > 0 ? forwarder.oldestMs : null,
      };
    });
  }

  /** Whether every backend has everything. */
  get idle(): boolean {
    return this.#queue.length === 0 && this.numbers().every(({ pending }) => pending === 0);
  }

  #commit(): void {
    this.#scheduled = false;
    const batches = this.#queue;
    this.#queue = [];
    const fresh = batches.map((batch) => this.#route(batch));
    const advances = new Map<string, Advance>();
    const dead = new Map<string, DeadLetter[]>();
    const taken = this.#forwarders.flatMap((forwarder) => {
      const one = forwarder.takeAdvance();
      if (!one) return [];
      advances.set(forwarder.name, one.advance);
      dead.set(forwarder.name, one.dead);
      return [one];
    });
    if (fresh.length === 0 && taken.length === 0) return;
    const ids = batches.map(({ batch }) => batch);
    try {
      const stored = this.#spool.commit(fresh, advances, dead);
      this.#count(fresh, advances);
      for (const batch of stored) this.#remember(batch);
      if (ids.length > 0) this.#tell({ committed: ids, spoolBytes: this.#spool.bytes });
      else this.#tell({ spoolBytes: this.#spool.bytes });
      if (stored.length > 0) for (const forwarder of this.#forwarders) forwarder.wake();
    } catch (thrown) {
      for (const { undo } of taken) undo();
      this.#tell({ failed: ids, reason: (thrown as Error).message, spoolBytes: this.#spool.bytes });
      if (taken.length > 0) this.#scheduleProgress();
    }
  }

  #route({ buffer, length, count, timeMs }: Batch): NewBatch {
    const body = Buffer.from(buffer, 0, length);
    const routed = new Map<string, number>();
    if (this.#routesAll) for (const name of this.#names) routed.set(name, count);
    else {
      for (const event of readRecords(body, '', 0)) {
        for (const name of this.#routes.backendsOf(event)) routed.set(name, (routed.get(name) ?? 0) + 1);
      }
    }
    return { body, count, timeMs, routed };
  }

  #count(fresh: readonly NewBatch[], advances: ReadonlyMap<string, Advance>): void {
    for (const { routed } of fresh)
      for (const [name, events] of routed) this.#totals.get(name)!.routed += events;
    for (const [name, { delivered, dead }] of advances) {
      const totals = this.#totals.get(name)!;
      totals.delivered += delivered;
      totals.dead += dead;
    }
  }

  #remember(batch: StoredBatch): void {
    this.#recent.push(batch);
    this.#recentSize += batch.body.length;
    const needed = Math.min(...this.#forwarders.map(({ doneThrough }) => doneThrough));
    let drop = 0;
    while (
      drop < this.#recent.length &&
      (this.#recent[drop]!.id <= needed || this.#recentSize > recentBytes)
    ) {
      this.#recentSize -= this.#recent[drop]!.body.length;
      drop += 1;
    }
    if (drop > 0) this.#recent.splice(0, drop);
  }

  #after(id: number): StoredBatch | undefined {
    const first = this.#recent[0];
    if (first && id >= first.id - 1) return this.#recent[id - first.id + 1];
    return this.#spool.after(id);
  }

  #scheduleProgress(): void {
    if (this.#progressDue) return;
    this.#progressDue = true;
    this.#clock.after(progressMs, () => {
      this.#progressDue = false;
      if (!this.#scheduled) this.#commit();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const forwarder of this.#forwarders) await forwarder[Symbol.asyncDispose]();
    if (this.#forwarders.length > 0) this.#commit();
    this.#spool[Symbol.dispose]();
  }
}

/** Each backend's module is loaded only when it is configured. */
async function openBackend(
  { dataDir, label }: CarrierSetup,
  settings: CarrierSetup['backends'][string],
  clock: Clock,
): Promise<Backend> {
  switch (settings.type) {
    case 'file': {
      const { FileBackend } = await import('./backends/file.ts');
      return FileBackend.open(join(dataDir, settings.path), settings, clock, label);
    }
    case 'http': {
      const { HttpBackend } = await import('./backends/http.ts');
      return new HttpBackend(settings, clock);
    }
  }
}
