/**
 * What became of commands here, on its way to the registry: noted, gathered for a moment, reported together. A report that
 * is lost costs a second delivery, never a command: what the registry has not heard of as delivered is handed over again.
 */
import { backoffMs } from '#common/backoff.ts';
import type { Cancel, Clock } from '#common/clock.ts';
import { type CommandOffer, type CommandProgress, mostCommandReports } from '#common/contract/command.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Logger } from '#common/log.ts';

export interface ProgressParts {
  ask: AskRegistry;
  clock: Clock;
  log: Logger;
}

/** A report is a commit of the registry, which others wait for: few, rather than early. */
const gatherMs = 100;
const retry = { firstMs: 500, limitMs: 15_000 };
/** Commands noted while the registry is away; beyond, the oldest are forgotten, and delivered again. */
export const mostNoted = 10_000;

export class Progress implements AsyncDisposable {
  readonly #parts: ProgressParts;
  #noted = new Map<string, CommandProgress>();
  #cancel: Cancel | undefined;
  #reporting: Promise<void> = Promise.resolve();
  #failures = 0;
  #closed = false;

  constructor(parts: ProgressParts) {
    this.#parts = parts;
  }

  handed({ id, device }: Pick<CommandOffer, 'id' | 'device'>): void {
    this.#note({ id, device, handed: 1, deliveredMs: null });
  }

  delivered(id: string, device: DeviceId): void {
    this.#note({ id, device, handed: 0, deliveredMs: this.#parts.clock.now() });
  }

  /** Resolves when everything that was noted before is with the registry. Faults when it cannot be told. */
  async flush(): Promise<void> {
    await this.#reporting.catch(() => {
      // Its notes are back, and part of what is reported now.
    });
    while (this.#noted.size > 0) {
      this.#cancel?.();
      this.#cancel = undefined;
      this.#reporting = this.#report();
      await this.#reporting;
    }
  }

  get size(): number {
    return this.#noted.size;
  }

  #note(progress: CommandProgress): void {
    const known = this.#noted.get(progress.id);
    this.#noted.set(progress.id, known ? sumOf(known, progress) : progress);
    if (this.#noted.size > mostNoted)
      for (const [oldest] of this.#noted) return void this.#noted.delete(oldest);
    this.#arm(gatherMs);
  }

  #arm(delayMs: number): void {
    if (this.#closed) return;
    this.#cancel ??= this.#parts.clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.flush().catch(() => {
        // Reported by #report, which tries again.
      });
    });
  }

  async #report(): Promise<void> {
    const { ask, log } = this.#parts;
    const progress = [...this.#noted.values()].slice(0, mostCommandReports);
    for (const { id } of progress) this.#noted.delete(id);
    try {
      await ask('command-progress', { progress });
      this.#failures = 0;
    } catch (thrown) {
      const fault = Fault.of(thrown);
      if (fault.kind === 'malformed') {
        log.error({ fault: fault.message }, 'The registry does not understand what became of commands.');
        return;
      }
      for (const each of progress) {
        const newer = this.#noted.get(each.id);
        this.#noted.set(each.id, newer ? sumOf(each, newer) : each);
      }
      this.#failures += 1;
      log.debug({ fault: fault.message }, 'The registry could not be told what became of commands.');
      this.#arm(backoffMs(retry, this.#failures));
      throw fault;
    }
  }

  /** What can still be told is. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.flush().catch(() => {
      // Then it is handed over again.
    });
  }
}

const sumOf = (a: CommandProgress, b: CommandProgress): CommandProgress => ({
  ...a,
  handed: a.handed + b.handed,
  deliveredMs: a.deliveredMs ?? b.deliveredMs,
});
