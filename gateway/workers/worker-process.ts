/** One worker as the main process has it: the child, what is said to it, and its end. */
import { type ChildProcess, fork } from 'node:child_process';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import { Channel } from './channel.ts';
import type { WorkerPorts, WorkerReport, WorkerSetup, WorkerSockets } from './setup.ts';

/** A worker that has not opened its doors by then is broken. */
const openMs = 60_000;
/** Told to end, it tells its sessions and flushes its spool, and is ended after so long. */
const closeMs = 20_000;
/** When all is closed nothing should keep it. */
const exitMs = 2_000;
const reportMs = 5_000;

export class WorkerProcess {
  readonly number: number;
  readonly channel: Channel;
  /** Resolves with what ended it, in words. */
  readonly ended: Promise<string>;
  readonly startedAtMs: number;
  /** Its last answer; counters in it are worth keeping when it is gone. */
  report: WorkerReport | null = null;
  open = false;
  readonly #child: ChildProcess;
  readonly #clock: Clock;

  private constructor(number: number, child: ChildProcess, clock: Clock, log: Logger) {
    this.number = number;
    this.#child = child;
    this.#clock = clock;
    this.startedAtMs = clock.elapsed();
    this.channel = new Channel(child, { clock, log });
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
      child.once('error', (error) => resolve(error.message));
    });
    void this.ended.then(() => this.channel.close());
  }

  /** Starts the program with the sockets that it is to listen on, if there are any; it waits for `begin`. */
  static start(
    program: URL,
    number: number,
    { clock, log, sockets }: { clock: Clock; log: Logger; sockets: WorkerSockets },
  ): WorkerProcess {
    const child = fork(program, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...Object.values(doorsOf(sockets))],
    });
    return new WorkerProcess(number, child, clock, log);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Resolves when its doors are open. Faults with what kept it from opening them. */
  async begin(setup: WorkerSetup): Promise<WorkerPorts> {
    try {
      const ports = await this.channel.call<WorkerPorts>('open', [setup], openMs);
      this.open = true;
      return ports;
    } catch (thrown) {
      this.kill();
      throw Fault.of(thrown);
    }
  }

  async ask(): Promise<WorkerReport> {
    this.report = await this.channel.call<WorkerReport>('report', [], reportMs);
    return this.report;
  }

  /** Sessions are told, the spool is flushed, the process is gone. */
  async close(): Promise<void> {
    this.open = false;
    try {
      await this.channel.call<void>('close', [], closeMs);
      if (this.#child.connected) this.#child.disconnect();
    } catch {
      // It has ended already, or does not: it is ended below.
    }
    const patience = new AbortController();
    await Promise.race([this.ended, this.#clock.sleep(exitMs, patience.signal)]);
    patience.abort();
    this.kill();
    await this.ended;
  }

  kill(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
  }
}

/** In one order, without what is absent. */
const doorsOf = ({ mqtts, https }: WorkerSockets): WorkerSockets => ({
  ...(mqtts !== undefined && { mqtts }),
  ...(https !== undefined && { https }),
});

/** Behind stdin, stdout, stderr and the channel. */
const firstHanded = 4;

/** The numbers by which a worker knows the sockets of its main process. */
export const handedOn = (sockets: WorkerSockets): WorkerSockets =>
  Object.fromEntries(Object.keys(doorsOf(sockets)).map((door, index) => [door, firstHanded + index]));
