/** A clock that stands still until a test moves it; what was due by then has run when `move` resolves. */
import type { Cancel, Clock } from '#common/clock.ts';

export class StillClock implements Clock {
  #now: number;
  #elapsed = 0;
  readonly #due = new Map<object, { atMs: number; run: () => void }>();

  constructor(nowMs: number) {
    this.#now = nowMs;
  }

  now(): number {
    return this.#now;
  }

  elapsed(): number {
    return this.#elapsed;
  }

  after(delayMs: number, run: () => void): Cancel {
    const key = {};
    this.#due.set(key, { atMs: this.#elapsed + delayMs, run });
    return () => this.#due.delete(key);
  }

  every(periodMs: number, run: () => void): Cancel {
    let cancel: Cancel = () => {};
    const arm = () => {
      cancel = this.after(periodMs, () => {
        arm();
        run();
      });
    };
    arm();
    return () => cancel();
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /** Only the wall clock: as when an operator sets it. */
  set(nowMs: number): void {
    this.#now = nowMs;
  }

  /** Both clocks, timer by timer. */
  async move(byMs: number): Promise<void> {
    const until = this.#elapsed + byMs;
    for (;;) {
      const [key, next] = [...this.#due].sort(([, a], [, b]) => a.atMs - b.atMs)[0] ?? [];
      if (!key || !next || next.atMs > until) break;
      this.#due.delete(key);
      this.#step(next.atMs);
      next.run();
      // What it began in this turn may set a timer of its own.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#step(until);
  }

  #step(toMs: number): void {
    this.#now += toMs - this.#elapsed;
    this.#elapsed = toMs;
  }
}
