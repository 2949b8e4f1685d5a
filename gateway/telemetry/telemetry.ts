/** The carry side of the gateway, from the main thread: opens the carrier thread, gives the intake, tells the numbers. */
import { Worker } from 'node:worker_threads';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { BackendNumbers, CarrierSetup, FromCarrier, ToCarrier } from './carrier-messages.ts';
import { LaneIntake } from './lane-intake.ts';

export interface TelemetryOptions extends CarrierSetup {
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

/** What is not delivered by then stays in the spool for the next start. */
const closePatienceMs = 3_000;
const restartPolicy = { firstMs: 200, limitMs: 10_000 };

export class Telemetry implements AsyncDisposable {
  readonly intake: LaneIntake;
  #worker: Worker;
  readonly #options: TelemetryOptions;
  readonly #asked = new Map<number, (numbers: readonly BackendNumbers[]) => void>();
  #nextAsk = 1;
  /** What the counters hold already, by backend. */
  readonly #reported = new Map<string, { delivered: number; dead: number }>();
  #closing: (() => void) | undefined;
  #broken: string | null = null;

  private constructor(worker: Worker, options: TelemetryOptions) {
    this.#options = options;
    const { clock, metrics, spool } = options;
    const send = (message: ToCarrier, transfer: ArrayBuffer[]) => this.#worker.postMessage(message, transfer);
    this.intake = new LaneIntake({ settings: spool, clock, metrics, send });
    this.#worker = worker;
    this.#watch(worker);
  }

  /** Faults `conflict` when the spool is in use, or with what is wrong with a backend. */
  static async open(options: TelemetryOptions): Promise<Telemetry> {
    return new Telemetry(await startCarrier(options), options);
  }

  #watch(worker: Worker): void {
    let error: string | undefined;
    worker.on('message', (message: FromCarrier) => this.#hear(message));
    worker.on('error', (thrown) => {
      error = (thrown as Error).message;
    });
    worker.once('exit', () => {
      if (this.#closing) return this.#closing();
      this.#options.log.error({ error }, 'The carrier thread has failed; starting another.');
      this.#broken = error ?? 'the carrier thread has ended';
      // Nobody was told that these are safe; whoever sent them sends them again.
      this.intake.lost(this.#broken);
      for (const answer of this.#asked.values()) answer([]);
      this.#asked.clear();
      void this.#restart();
    });
  }

  /** The spool has everything that was acknowledged: another thread goes on from it. */
  async #restart(): Promise<void> {
    for (let attempt = 1; !this.#closing; attempt++) {
      await this.#options.clock.sleep(backoffMs(restartPolicy, attempt));
      try {
        this.#worker = await startCarrier(this.#options);
        this.#watch(this.#worker);
        this.#broken = null;
        this.intake.spoolIs(0);
        return;
      } catch (thrown) {
        this.#options.log.error(
          { error: Fault.of(thrown).message },
          'The carrier thread could not be started.',
        );
      }
    }
  }

  /** For /readyz: true, or why events cannot be taken. */
  probe(): true | string {
    if (this.#broken) return `events cannot be stored: ${this.#broken}`;
    return this.intake.full ? 'the spool is full' : true;
  }

  numbers(): Promise<readonly BackendNumbers[]> {
    if (this.#broken) return Promise.resolve([]);
    const id = this.#nextAsk++;
    return new Promise((resolve) => {
      this.#asked.set(id, resolve);
      this.#worker.postMessage({ ask: 'snapshot', id } satisfies ToCarrier);
    });
  }

  #hear(message: FromCarrier): void {
    if ('committed' in message) this.intake.committed(message.committed, message.spoolBytes);
    else if ('failed' in message) {
      this.#options.log.error({ reason: message.reason }, 'Events could not be stored.');
      this.intake.failed(message.failed, message.reason, message.spoolBytes);
    } else if ('snapshot' in message) {
      this.#asked.get(message.snapshot)?.(message.backends);
      this.#asked.delete(message.snapshot);
    } else if ('spoolBytes' in message) this.intake.spoolIs(message.spoolBytes);
  }

  /**
   * Brings the metrics up to date: counted when they are read, so that an event costs no metric. `leftovers` are emptied
   * beside this one, and counted with it.
   */
  async report(leftovers: readonly Telemetry[] = []): Promise<void> {
    const { metrics, clock } = this.#options;
    this.intake.report();
    for (const { name, delivered, dead, pending, up, oldestMs } of ledgerOf(
      await Promise.all([this, ...leftovers].map((each) => each.numbers())),
    )) {
      const before = this.#reported.get(name) ?? { delivered: 0, dead: 0 };
      this.#reported.set(name, { delivered, dead });
      metrics.messagesDeliveredTotal.inc({ backend: name }, Math.max(0, delivered - before.delivered));
      metrics.messagesDeadLetteredTotal.inc(
        { backend: name, reason: 'refused' },
        Math.max(0, dead - before.dead),
      );
      metrics.messagesPending.set({ backend: name }, pending);
      metrics.backendUp.set({ backend: name }, up ? 1 : 0);
      metrics.backendOldestPendingSeconds.set(
        { backend: name },
        oldestMs === null ? 0 : (clock.now() - oldestMs) / 1000,
      );
    }
  }

  /** Stores what is in hand, delivers what it can within a bound, ends the thread. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#broken) {
      this.#closing = () => {};
      return;
    }
    this.intake.flush();
    const closed = new Promise<void>((resolve) => {
      this.#closing = resolve;
    });
    this.#worker.postMessage({ close: { patienceMs: closePatienceMs } } satisfies ToCarrier);
    await closed;
  }
}

/** One row a backend, over all spools. */
function ledgerOf(spools: readonly (readonly BackendNumbers[])[]): readonly BackendNumbers[] {
  if (spools.length === 1) return spools[0]!;
  const ledger = new Map<string, BackendNumbers>();
  for (const row of spools.flat()) {
    const sum = ledger.get(row.name);
    if (!sum) ledger.set(row.name, row);
    else
      ledger.set(row.name, {
        name: row.name,
        routed: sum.routed + row.routed,
        delivered: sum.delivered + row.delivered,
        dead: sum.dead + row.dead,
        pending: sum.pending + row.pending,
        up: sum.up && row.up,
        oldestMs: earlier(sum.oldestMs, row.oldestMs),
      });
  }
  return [...ledger.values()];
}

const earlier = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);

async function startCarrier({
  dataDir,
  label,
  spool,
  backends,
  routes,
  spoolPages,
}: TelemetryOptions): Promise<Worker> {
  const setup: CarrierSetup = { dataDir, label, spool, backends, routes, spoolPages };
  const worker = new Worker(new URL('./carrier-thread.ts', import.meta.url), { workerData: setup });
  const first = await new Promise<FromCarrier>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  if ('refused' in first) throw new Fault('conflict', first.refused);
  worker.removeAllListeners('error');
  return worker;
}
