/**
 * A gateway in several processes, from the main one: starts the workers, keeps them alive, and shows them as one at the ops
 * door. The main process has the registry, or follows it; it hears no device.
 */
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import type { RegistryLine } from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import { urlOf } from '#common/http/url.ts';
import type { Logger, LogLevel } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { OpsDoor, type Probe } from '#common/ops-door.ts';
import { OwnTicketKeys } from '../door/ticket-keys.ts';
import type { GatewaySettings } from '../settings.ts';
import { Hub } from './hub.ts';
import { MetricsSum } from './metrics-sum.ts';
import { Owners } from './owners.ts';
import type { DirectoryFile, WorkerPorts, WorkerSetup, WorkerSockets } from './setup.ts';
import { shareOf } from './share.ts';
import { handedOn, WorkerProcess } from './worker-process.ts';

export type { DirectoryFile };

export interface SupervisorOptions {
  workers: number;
  /** What a worker runs; it calls `runWorker`. */
  program: URL;
  dataDir: string;
  host: string;
  name: string;
  settings: GatewaySettings;
  logLevel: LogLevel;
  line: RegistryLine;
  directory: DirectoryFile;
  /** Descriptors of sockets that listen already: the workers share them. */
  sockets?: WorkerSockets & { readonly ops?: number };
  metrics: Metrics;
  log: Logger;
  clock: Clock;
}

const restart = { firstMs: 100, limitMs: 10_000 };
/** A worker that has lived so long has not failed for the reason of the time before. */
const steadyMs = 60_000;
/** So often one may end before that, in a row, until it is given up. */
export const mostFailures = 8;
const watchMs = 10_000;
/** A worker that has not answered so often in a row is stuck. */
const mostMisses = 3;

export class Supervisor implements AsyncDisposable {
  /** Resolves with what cannot be mended here: the process is to end. */
  readonly failed: Promise<Fault>;
  readonly #options: SupervisorOptions;
  readonly #opened = new AsyncDisposableStack();
  readonly #hub: Hub;
  readonly #owners: Owners;
  readonly #tickets: OwnTicketKeys;
  readonly #sum: MetricsSum;
  readonly #workers = new Map<number, WorkerProcess>();
  readonly #failures = new Map<number, number>();
  readonly #misses = new Map<number, number>();
  readonly #stop = new AbortController();
  #settings: GatewaySettings;
  #ops: OpsDoor | undefined;
  #fail: (fault: Fault) => void = () => {};

  private constructor(options: SupervisorOptions) {
    const { settings, workers, line, clock, dataDir, metrics } = options;
    this.#options = options;
    this.#settings = shareOf(settings, workers);
    this.#hub = new Hub(line);
    this.#owners = this.#opened.use(Owners.create(dataDir));
    this.#tickets = this.#opened.use(new OwnTicketKeys(clock, settings.tls.ticketLifetime));
    this.#sum = new MetricsSum(metrics);
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
  }

  /** Resolves when every worker's doors are open. Faults with what kept one from opening them. */
  static async open(options: SupervisorOptions): Promise<Supervisor> {
    const supervisor = new Supervisor(options);
    try {
      await supervisor.#open();
    } catch (thrown) {
      await supervisor[Symbol.asyncDispose]();
      throw thrown;
    }
    return supervisor;
  }

  async #open(): Promise<void> {
    const { workers, host, settings, sockets, clock } = this.#options;
    // The first takes the ports, which may be any free ones; the others are told which.
    const { mqtts, https } = await this.#start(1);
    const { mqtt, https: web } = this.#settings;
    this.#settings = { ...this.#settings, mqtt: { ...mqtt, port: mqtts }, https: { ...web, port: https } };
    const others = Array.from({ length: workers - 1 }, (_, index) => index + 2);
    await Promise.all(others.map((number) => this.#start(number)));
    this.#handOn();
    this.#opened.defer(clock.every(watchMs, () => this.#watch(), 0.1));
    const probes: Record<string, Probe> = {};
    for (let number = 1; number <= workers; number++) probes[`worker ${number}`] = () => this.#probe(number);
    const registry = { contentType: this.#sum.contentType, metrics: () => this.#metrics() };
    const refresh = async () => {};
    const ops = { host, port: settings.ops.port, fd: sockets?.ops, metrics: { registry }, probes, refresh };
    this.#ops = this.#opened.use(await OpsDoor.open(ops));
  }

  get urls(): { readonly mqtts: string; readonly https: string; readonly ops: string } {
    const { host } = this.#options;
    const { mqtt, https } = this.#settings;
    return {
      mqtts: urlOf('mqtts', host, mqtt.port),
      https: urlOf('https', host, https.port),
      ops: urlOf('http', host, this.#ops!.port),
    };
  }

  async #start(number: number): Promise<WorkerPorts> {
    const { program, clock, log, metrics, name, sockets = {} } = this.#options;
    const worker = WorkerProcess.start(program, number, { clock, log, sockets });
    this.#workers.set(number, worker);
    void worker.ended.then((reason) => this.#ended(worker, reason));
    const opening = worker.begin(this.#setup(number));
    this.#hub.join(worker, `${name}/${number}`);
    const ports = await opening;
    metrics.workers.set(this.#live().length);
    return ports;
  }

  #setup(worker: number): WorkerSetup {
    const { workers, dataDir, host, name, logLevel, directory, line, sockets = {} } = this.#options;
    return {
      worker,
      workers,
      dataDir,
      host,
      name: `${name}/${worker}`,
      settings: this.#settings,
      logLevel,
      directory,
      doors: line.doors.current,
      staple: line.doors.staple(),
      tickets: this.#tickets.secret,
      sockets: handedOn(sockets),
    };
  }

  /** What all workers have in common, whenever it changes. */
  #handOn(): void {
    const { line, clock } = this.#options;
    const hub = this.#hub;
    this.#opened.defer(this.#tickets.onRotated(() => hub.tellAll('tickets', this.#tickets.secret)));
    this.#opened.defer(line.doors.onRenewed((certificate) => hub.tellAll('doors', certificate)));
    let staple = line.doors.staple();
    const look = () => {
      const now = line.doors.staple();
      if (now === staple || (now && staple && now.equals(staple))) return;
      staple = now;
      hub.tellAll('staple', now);
    };
    this.#opened.defer(clock.every(watchMs, look));
  }

  #live(): WorkerProcess[] {
    return [...this.#workers.values()].filter(({ open }) => open);
  }

  #ended(worker: WorkerProcess, reason: string): void {
    const { log, metrics, clock } = this.#options;
    const { number, report, open, startedAtMs } = worker;
    if (this.#workers.get(number) !== worker) return;
    worker.open = false;
    this.#workers.delete(number);
    this.#hub.leave(worker);
    if (this.#stop.signal.aborted) return;
    this.#owners.clear(number);
    if (report) this.#sum.bury(number, report.metrics);
    metrics.workers.set(this.#live().length);
    // One that never opened its doors has said why to whoever started it.
    log.error({ worker: number, reason, open }, 'A worker has ended; its devices connect again.');
    const steady = clock.elapsed() - startedAtMs >= steadyMs;
    const failures = steady ? 1 : (this.#failures.get(number) ?? 0) + 1;
    this.#failures.set(number, failures);
    if (failures < mostFailures) void this.#replace(number, failures);
    else
      this.#fail(
        new Fault(
          'unavailable',
          `Worker ${number} has ended ${failures} times soon after its start (${reason}); its log says why.`,
        ),
      );
  }

  /** The next try, if this one fails, begins with its end. */
  async #replace(number: number, failures: number): Promise<void> {
    const { clock, log, metrics } = this.#options;
    const { signal } = this.#stop;
    await clock.sleep(backoffMs(restart, failures), signal);
    if (signal.aborted) return;
    metrics.workerRestartsTotal.inc();
    try {
      await this.#start(number);
      log.info({ worker: number }, 'A worker has taken the place of one that had ended.');
    } catch (thrown) {
      const { message, cause } = Fault.of(thrown);
      log.error({ worker: number, error: cause ?? message }, 'A worker could not open its doors.');
    }
  }

  /** Asks everybody: for counters that are to outlive their worker, and to find one that is stuck. */
  #watch(): void {
    for (const worker of this.#live()) {
      const { number } = worker;
      worker.ask().then(
        () => this.#misses.delete(number),
        () => {
          const misses = (this.#misses.get(number) ?? 0) + 1;
          this.#misses.set(number, misses);
          if (misses < mostMisses) return;
          this.#misses.delete(number);
          this.#options.log.error({ worker: number }, 'A worker does not answer; it is ended.');
          worker.kill();
        },
      );
    }
  }

  async #probe(number: number): Promise<true | string> {
    const worker = this.#workers.get(number);
    if (!worker?.open) return 'it is being started';
    try {
      const { reasons } = await worker.ask();
      return reasons.length === 0 || reasons.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
    } catch (thrown) {
      return Fault.of(thrown).message;
    }
  }

  async #metrics(): Promise<string> {
    const live = this.#live();
    await Promise.allSettled(live.map((worker) => worker.ask()));
    // One that did not answer in time is as it was when it last did.
    const reports = live.flatMap(({ number, report }) => (report ? [[number, report.metrics] as const] : []));
    return this.#sum.text(new Map(reports));
  }

  /** Workers first, all at once: they tell their sessions and flush their spools. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#workers.values()].map((worker) => worker.close()));
    await this.#opened.disposeAsync();
  }
}
