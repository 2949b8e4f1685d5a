/**
 * Holds one MQTT session to the limits of its device. What comes with QoS 1 or 2 waits for room, and the peer with it,
 * since nothing more is read; QoS 0 is dropped. One that has pushed against its limits for too long is ended.
 */
import type { Cancel, Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Meter } from './meter.ts';

export class Pace {
  readonly #meter: Meter;
  readonly #clock: Clock;
  readonly #patienceMs: number;
  /** The publish that is next was counted, and waits for something else. */
  #paid = false;
  #cancel: Cancel | null = null;

  constructor(meter: Meter, clock: Clock, patienceMs: number) {
    this.#meter = meter;
    this.#clock = clock;
    this.#patienceMs = patienceMs;
  }

  /** 0 when the publish may pass, else milliseconds until it may. Faults `message-rate` for one that has pushed for too long. */
  ask(bytes: number): number {
    if (this.#paid) return 0;
    const nowMs = this.#clock.elapsed();
    const waitMs = this.#meter.take(1, bytes, nowMs);
    if (waitMs === 0) this.#paid = true;
    else if (this.#meter.pressedForMs(nowMs) > this.#patienceMs) throw tooMuch();
    return waitMs;
  }

  /** The publish that was asked for has been taken: the next counts anew. */
  taken(): void {
    this.#paid = false;
  }

  /** Goes on after so long; only the last one asked for. */
  later(waitMs: number, goOn: () => void): void {
    this.#cancel?.();
    this.#cancel = this.#clock.after(waitMs, goOn);
  }
}

const tooMuch = () =>
  new Fault(
    'message-rate',
    'This device sends more than its role, fleet or device may, and does not slow down; send more slowly.',
  );
