/**
 * Forwards to one backend, in order, at least once: takes batches after where it has come, picks the events routed to it,
 * delivers, retries with jitter, sets poison aside. It never holds up acceptance; only a full spool does.
 */
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import type { DeviceEvent } from '#common/contract/event.ts';
import type { Backend } from './backends/backend.ts';
import { cloudEventJson } from './cloud-event.ts';
import { readRecords } from './record.ts';
import type { Routes } from './routes.ts';
import type { Advance, DeadLetter, Progress, StoredBatch } from './spool.ts';

export interface ForwarderParts {
  name: string;
  backend: Backend;
  routes: Routes;
  epoch: string;
  progress: Progress;
  /** The next batch after one, from memory or disk. */
  after(id: number): StoredBatch | undefined;
  /** How long events gather before they are delivered together. */
  lingerMs: number;
  retry: { firstMs: number; limitMs: number };
  /** Tries after which events are set aside; 0 never. */
  maxAttempts: number;
  clock: Clock;
  /** Something was delivered or set aside: it wants to be written down soon. */
  advanced(): void;
}

/** Batches are taken together up to so many bytes. */
const gatherBytes = 1024 * 1024;

export class Forwarder implements AsyncDisposable {
  readonly #parts: ForwarderParts;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  /** Ends the wait for a first batch; null while there is work. */
  #wake: (() => void) | null = null;
  #doneThrough: number;
  #delivered = 0;
  #dead: DeadLetter[] = [];
  #up = true;
  #oldestMs: number | null = null;
  /** There is something to write down. */
  #dirty = false;

  constructor(parts: ForwarderParts) {
    this.#parts = parts;
    this.#doneThrough = parts.progress.doneThrough;
    this.#done = this.#run();
  }

  get name(): string {
    return this.#parts.name;
  }

  /** 1 while the last delivery went well. */
  get up(): boolean {
    return this.#up;
  }

  /** When the batch at hand was accepted; null when there is none. */
  get oldestMs(): number | null {
    return this.#oldestMs;
  }

  get doneThrough(): number {
    return this.#doneThrough;
  }

  /** There is a new batch. */
  wake(): void {
    this.#wake?.();
  }

  /** What was done since the last call, to be written down with the next commit; `undo` when that fails. */
  takeAdvance(): { advance: Advance; dead: DeadLetter[]; undo: () => void } | null {
    const [delivered, dead, doneThrough] = [this.#delivered, this.#dead, this.#doneThrough];
    if (!this.#dirty) return null;
    this.#dirty = false;
    this.#delivered = 0;
    this.#dead = [];
    const undo = () => {
      this.#dirty = true;
      this.#delivered += delivered;
      this.#dead = [...dead, ...this.#dead];
    };
    return { advance: { doneThrough, delivered, dead: dead.length }, dead, undo };
  }

  async #run(): Promise<void> {
    const { clock, lingerMs } = this.#parts;
    const { signal } = this.#stop;
    let more = false;
    while (!signal.aborted) {
      if (!more) {
        if (!this.#parts.after(this.#doneThrough)) {
          this.#oldestMs = null;
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = null;
        }
        await clock.sleep(lingerMs, signal);
      }
      const gathered = this.#gather();
      more = gathered.more;
      if (gathered.through === this.#doneThrough) continue;
      this.#oldestMs = gathered.oldestMs;
      if (!(await this.#deliverAll(gathered.events))) return;
      this.#doneThrough = gathered.through;
      this.#dirty = true;
      this.#parts.advanced();
    }
  }

  /** The next batches, up to a bound, and the events in them that are for this backend. */
  #gather(): { events: DeviceEvent[]; through: number; oldestMs: number; more: boolean } {
    const { name, routes, epoch } = this.#parts;
    const events: DeviceEvent[] = [];
    let through = this.#doneThrough;
    let oldestMs = Number.POSITIVE_INFINITY;
    let bytes = 0;
    while (bytes < gatherBytes) {
      const batch = this.#parts.after(through);
      if (!batch) break;
      for (const event of readRecords(batch.body, epoch, batch.firstSequence)) {
        if (routes.backendsOf(event).has(name)) events.push(event);
      }
      through = batch.id;
      bytes += batch.body.length;
      oldestMs = Math.min(oldestMs, batch.timeMs);
    }
    return { events, through, oldestMs, more: bytes >= gatherBytes };
  }

  /** False when it was stopped in between. */
  async #deliverAll(events: readonly DeviceEvent[]): Promise<boolean> {
    for (let at = 0; at < events.length; at += this.#parts.backend.batch) {
      if (!(await this.#deliver(events.slice(at, at + this.#parts.backend.batch)))) return false;
    }
    return true;
  }

  async #deliver(events: readonly DeviceEvent[]): Promise<boolean> {
    const { backend, retry, maxAttempts, clock } = this.#parts;
    const { signal } = this.#stop;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const delivery = await backend.deliver(events);
      this.#up = delivery.outcome !== 'retry';
      if (delivery.outcome === 'accepted') {
        this.#delivered += events.length;
        return true;
      }
      if (delivery.outcome === 'poison') return this.#isolate(events, delivery.reason);
      if (maxAttempts > 0 && attempt >= maxAttempts) {
        this.#bury(events, `gave up after ${attempt} tries: ${delivery.reason}`);
        return true;
      }
      await clock.sleep(delivery.retryAfterMs ?? backoffMs(retry, attempt), signal);
    }
    return false;
  }

  /** Halves until the poison stands alone, so that what is good beside it arrives. */
  async #isolate(events: readonly DeviceEvent[], reason: string): Promise<boolean> {
    if (events.length === 1) {
      this.#bury(events, reason);
      return true;
    }
    const half = Math.ceil(events.length / 2);
    return (await this.#deliver(events.slice(0, half))) && (await this.#deliver(events.slice(half)));
  }

  #bury(events: readonly DeviceEvent[], reason: string): void {
    const timeMs = this.#parts.clock.now();
    for (const event of events) this.#dead.push({ reason, timeMs, event: cloudEventJson(event) });
    this.#dirty = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.wake();
    await this.#done;
    await this.#parts.backend[Symbol.asyncDispose]();
  }
}
