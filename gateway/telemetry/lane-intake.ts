/**
 * The intake on the main thread: events are copied into the open batch, batches go to the carrier thread, and when one is
 * on disk those who wait for its events are told, in order. Per event: one copy and two array slots.
 */
import type { Clock } from '#common/clock.ts';
import { type EventClass, eventClasses } from '#common/contract/event.ts';
import { type Protocol, protocols } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Metrics } from '#common/metrics.ts';
import type { SpoolSettings } from '../settings.ts';
import type { ToCarrier } from './carrier-messages.ts';
import type { Intake, Origin, Waiter } from './intake.ts';
import { originBytes, recordSizeAtMost, writeRecord } from './record.ts';

interface PreparedOrigin extends Origin {
  readonly bytes: Buffer;
  /** Where its telemetry is counted in a batch; its events one further. */
  readonly slot: number;
}

interface Batch {
  buffer: Buffer;
  length: number;
  count: number;
  timeMs: number;
  /** Events by protocol and class, two slots a protocol. */
  readonly counts: number[];
  readonly waiters: Waiter[];
  readonly tickets: number[];
}

export interface LaneIntakeOptions {
  settings: SpoolSettings;
  clock: Clock;
  metrics: Metrics;
  send(message: ToCarrier, transfer: ArrayBuffer[]): void;
}

const smallestBuffer = 16 * 1024;
const noCounts = (): number[] => new Array(protocols.length * eventClasses.length).fill(0);

export class LaneIntake implements Intake {
  readonly #options: LaneIntakeOptions;
  #open: Batch | null = null;
  #flushDue = false;
  #flushedAtMs = Number.NEGATIVE_INFINITY;
  #nextBatch = 1;
  readonly #underWay = new Map<number, Batch>();
  /** Of batches that are not on disk yet. */
  #underWayBytes = 0;
  #lastLength = 0;
  #spoolBytes = 0;
  #waiting: (() => void)[] = [];
  /** Durable since the metrics were last read, in the slots of a batch. */
  readonly #accepted: number[] = noCounts();
  #dropped = 0;

  constructor(options: LaneIntakeOptions) {
    this.#options = options;
  }

  origin(fleet: string, device: string, protocol: Protocol): Origin {
    const slot = protocols.indexOf(protocol) * eventClasses.length;
    const prepared: PreparedOrigin = { fleet, device, protocol, bytes: originBytes(fleet, device), slot };
    return prepared;
  }

  get full(): boolean {
    const { maxPendingBatches, maxSize } = this.#options.settings;
    const bytes = this.#spoolBytes + this.#underWayBytes + (this.#open?.length ?? 0);
    return this.#underWay.size >= maxPendingBatches || bytes >= maxSize;
  }

  accept(
    origin: Origin,
    eventClass: EventClass,
    channel: string,
    contentType: string,
    payload: Uint8Array,
    waiter: Waiter | null,
    ticket: number,
  ): void {
    const { bytes, slot } = origin as PreparedOrigin;
    const batch = this.#room(recordSizeAtMost(bytes, channel, contentType, payload));
    const isEvent = eventClass === eventClasses[1];
    batch.length = writeRecord(
      batch.buffer,
      batch.length,
      isEvent,
      batch.timeMs,
      bytes,
      channel,
      contentType,
      payload,
    );
    batch.count += 1;
    if (waiter) {
      batch.waiters.push(waiter);
      batch.tickets.push(ticket);
    }
    batch.counts[slot + (isEvent ? 1 : 0)]! += 1;
    if (batch.length >= this.#options.settings.flushSize) this.flush();
  }

  whenRoom(resume: () => void): void {
    if (this.full) this.#waiting.push(resume);
    else resume();
  }

  dropped(): void {
    this.#dropped += 1;
  }

  /** Sends the open batch on its way. */
  flush(): void {
    const batch = this.#open;
    if (!batch) return;
    this.#open = null;
    this.#flushedAtMs = this.#options.clock.elapsed();
    this.#lastLength = batch.length;
    const id = this.#nextBatch++;
    this.#underWay.set(id, batch);
    this.#underWayBytes += batch.length;
    const buffer = batch.buffer.buffer as ArrayBuffer;
    this.#options.send(
      { batch: id, buffer, length: batch.length, count: batch.count, timeMs: batch.timeMs },
      [buffer],
    );
  }

  /** The carrier says that these are on disk. */
  committed(ids: readonly number[], spoolBytes: number): void {
    for (const id of ids) {
      const batch = this.#take(id);
      if (!batch) continue;
      const { waiters, tickets, counts } = batch;
      for (let slot = 0; slot < counts.length; slot++) this.#accepted[slot]! += counts[slot]!;
      for (let index = 0; index < waiters.length; index++) waiters[index]!.durable(tickets[index]!);
      for (let index = 0; index < waiters.length; index++) waiters[index]!.settled();
    }
    this.spoolIs(spoolBytes);
  }

  /** The carrier says that these could not be stored. */
  failed(ids: readonly number[], reason: string, spoolBytes: number): void {
    const fault = new Fault('spool-full', `The gateway cannot store events now (${reason}); try again.`, {
      retryAfterMs: 1000,
    });
    for (const id of ids) {
      const batch = this.#take(id);
      batch?.waiters.forEach((waiter, index) => {
        waiter.failed(batch.tickets[index]!, fault);
      });
    }
    this.#options.metrics.messagesRefusedTotal.inc({ reason: fault.kind });
    this.spoolIs(spoolBytes);
  }

  /** The carrier is gone with what was on its way. The intake is full until `spoolIs` says otherwise. */
  lost(reason: string): void {
    this.failed([...this.#underWay.keys()], reason, Number.POSITIVE_INFINITY);
  }

  spoolIs(bytes: number): void {
    this.#spoolBytes = bytes;
    if (this.#waiting.length === 0 || this.full) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) {
      if (this.full) this.#waiting.push(resume);
      else resume();
    }
  }

  /** Moves what was counted since the last time into the metrics. */
  report(): void {
    const { messagesAcceptedTotal, messagesRefusedTotal } = this.#options.metrics;
    for (const [slot, count] of this.#accepted.entries()) {
      const protocol = protocols[Math.floor(slot / eventClasses.length)]!;
      messagesAcceptedTotal.inc({ class: eventClasses[slot % eventClasses.length]!, protocol }, count);
    }
    this.#accepted.fill(0);
    messagesRefusedTotal.inc({ reason: 'spool-full' }, this.#dropped);
    this.#dropped = 0;
  }

  #take(id: number): Batch | undefined {
    const batch = this.#underWay.get(id);
    if (batch && this.#underWay.delete(id)) this.#underWayBytes -= batch.length;
    return batch;
  }

  /** The open batch with room for so many bytes more. */
  #room(bytes: number): Batch {
    let batch = this.#open;
    if (batch && batch.length + bytes > batch.buffer.length) {
      if (batch.length + bytes > this.#options.settings.flushSize) {
        this.flush();
        batch = null;
      } else batch.buffer = grown(batch.buffer, batch.length, batch.length + bytes);
    }
    if (batch) return batch;
    const { clock, settings } = this.#options;
    const size = Math.max(smallestBuffer, bytes, Math.min(this.#lastLength * 2, settings.flushSize + bytes));
    // Not from the shared pool: the memory is handed to the carrier thread.
    this.#open = {
      buffer: Buffer.allocUnsafeSlow(size),
      length: 0,
      count: 0,
      timeMs: clock.now(),
      counts: noCounts(),
      waiters: [],
      tickets: [],
    };
    this.#flushSoon();
    return this.#open;
  }

  /** After a pause at the end of this turn, so that a lone event does not wait; under load one commit an interval. */
  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    const { clock, settings } = this.#options;
    const flush = () => {
      this.#flushDue = false;
      this.flush();
    };
    const dueMs = this.#flushedAtMs + settings.flushInterval - clock.elapsed();
    if (dueMs <= 0) setImmediate(flush);
    else clock.after(dueMs, flush);
  }
}

function grown(buffer: Buffer, length: number, needed: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, needed));
  buffer.copy(larger, 0, 0, length);
  return larger;
}
