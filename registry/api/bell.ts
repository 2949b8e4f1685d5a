/** What a stream that stays open waits on: something to send, a heartbeat that is due, or the end. */
import type { Clock } from '#common/clock.ts';

/** Rung when there is something to send; otherwise it times out for a heartbeat. */
export class Bell {
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  #rung = false;
  #wake: AbortController | undefined;

  constructor(clock: Clock, closing: AbortSignal) {
    this.#clock = clock;
    closing.addEventListener('abort', () => this.stop());
  }

  get stopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  ring(): void {
    this.#rung = true;
    this.#wake?.abort();
  }

  stop(): void {
    this.#stopped.abort();
    this.ring();
  }

  async wait(timeoutMs: number): Promise<void> {
    if (!this.#rung) {
      this.#wake = new AbortController();
      await this.#clock.sleep(timeoutMs, this.#wake.signal);
    }
    this.#rung = false;
  }
}
