/** Runs what has to be done again and again, one thing after the other, never twice at once. What fails is tried again at the next turn. */
import type { Cancel, Clock } from '#common/clock.ts';
import type { Logger } from '#common/log.ts';

export interface SweeperParts {
  clock: Clock;
  log: Logger;
  periodMs: number;
  /** By names for the log; each resolves with how much it has done. */
  sweeps: Readonly<Record<string, () => Promise<number>>>;
}

const jitter = 0.1;

export class Sweeper implements AsyncDisposable {
  readonly #parts: SweeperParts;
  readonly #cancel: Cancel;
  #running: Promise<void> | undefined;

  constructor(parts: SweeperParts) {
    const { clock, periodMs } = parts;
    this.#parts = parts;
    this.#cancel = clock.every(periodMs, () => this.#turn(), jitter);
  }

  #turn(): void {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = undefined;
    });
  }

  async #sweep(): Promise<void> {
    const { sweeps, log } = this.#parts;
    for (const [sweep, run] of Object.entries(sweeps)) {
      try {
        const count = await run();
        if (count > 0) log.info({ sweep, count }, 'What was due was done.');
      } catch (error) {
        log.error({ sweep, error }, 'What was due could not be done.');
      }
    }
  }

  /** Waits for the turn that is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    await this.#running;
  }
}
