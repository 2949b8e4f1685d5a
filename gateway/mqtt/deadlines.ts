/** Every deadline of every connection, by one timer: a sweep a second instead of a timer each. */
import type { Cancel, Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';

/** A connection that has deadlines. */
export interface Punctual {
  /** Ends itself when one has passed. `nowMs` is of `clock.elapsed()`. */
  checkDeadlines(nowMs: number): void;
}

/** What a connection is late with that has sent nothing for so long before its CONNECT, or null. */
export const lateForConnect = (silentMs: number, { connectTimeout }: { connectTimeout: number }) =>
  silentMs > connectTimeout ? new Fault('connect-timeout', 'No CONNECT came in time.') : null;

/** The same after it: one and a half times the keep-alive [MQTT-3.1.2-22]. */
export const lateForKeepAlive = (silentMs: number, keepAliveMs: number) =>
  silentMs > keepAliveMs * 1.5
    ? new Fault('keep-alive-timeout', 'Nothing was heard within the keep-alive.')
    : null;

const periodMs = 1_000;

export class Deadlines implements Disposable {
  readonly #all = new Set<Punctual>();
  readonly #cancel: Cancel;
  readonly #clock: Clock;
  /** `clock.elapsed()` as of the last sweep or later: good to a second, and free to read. */
  nowMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.nowMs = clock.elapsed();
    this.#cancel = clock.every(periodMs, () => this.#sweep());
  }

  add(one: Punctual): void {
    this.#all.add(one);
  }

  remove(one: Punctual): void {
    this.#all.delete(one);
  }

  #sweep(): void {
    this.nowMs = this.#clock.elapsed();
    for (const one of this.#all) one.checkDeadlines(this.nowMs);
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}
