/** A slice of the fleet in one thread: brings its devices in on time and lets them speak on time, come what may. */
import { performance } from 'node:perf_hooks';
import type { Clock } from '#common/clock.ts';
import { Device } from './device.ts';
import { Measurements } from './measurements.ts';
import {
  connectAtMs,
  endMs,
  type Identity,
  messageAtMs,
  messageCount,
  protocolOf,
  type SimulationPlan,
  seededRandom,
} from './plan.ts';

export interface Slice {
  readonly plan: SimulationPlan;
  /** All identities of the fleet; this slice has those whose number leaves `worker` when divided by `workers`. */
  readonly identities: readonly Identity[];
  readonly worker: number;
  readonly workers: number;
}

/** Deadlines are looked at this often; what is due is done at once. */
const tickMs = 4;
const pingMs = 30_000;
/** After the last message answers may take this long. */
const lastAnswersMs = 5_000;

export class Fleet {
  readonly measurements = new Measurements();
  readonly #slice: Slice;
  readonly #clock: Clock;
  readonly #devices = new Map<number, Device>();
  #stopped = false;

  constructor(slice: Slice, clock: Clock) {
    this.#slice = slice;
    this.#clock = clock;
    const random = seededRandom(slice.plan.seed + slice.worker);
    for (let index = slice.worker; index < slice.plan.devices; index += slice.workers) {
      const identity = slice.identities[index]!;
      const protocol = protocolOf(slice.plan, index);
      this.#devices.set(
        index,
        new Device({ plan: slice.plan, identity, protocol, measurements: this.measurements, clock, random }),
      );
    }
  }

  /** Runs to the end of the plan, or until `stop`. Resolves with the share of time this thread was busy, 0 to 1. */
  async run(): Promise<number> {
    const { plan } = this.#slice;
    const clock = this.#clock;
    const idleBefore = performance.eventLoopUtilization();
    const startMs = clock.elapsed();
    const mine = [...this.#devices.keys()];
    const total = messageCount(plan);
    let connecting = 0;
    let message = 0;
    let pingedMs = startMs;
    while (!this.#stopped) {
      const nowMs = clock.elapsed() - startMs;
      while (connecting < mine.length && connectAtMs(plan, mine[connecting]!) <= nowMs) {
        const index = mine[connecting++]!;
        this.#devices.get(index)!.connect(startMs + connectAtMs(plan, index));
      }
      while (message < total && messageAtMs(plan, message) <= nowMs) {
        // The fleet takes turns; the others' turns belong to other threads.
        this.#devices.get(message % plan.devices)?.publish(startMs + messageAtMs(plan, message));
        message += 1;
      }
      if (nowMs >= endMs(plan)) break;
      if (clock.elapsed() - pingedMs > pingMs) {
        pingedMs = clock.elapsed();
        for (const device of this.#devices.values()) device.ping();
      }
      await clock.sleep(tickMs);
    }
    const busy = performance.eventLoopUtilization(idleBefore).utilization;
    await this.#lastAnswers();
    return busy;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Numbers of acknowledged messages, by device. */
  acknowledged(): [string, number[]][] {
    return [...this.#devices.values()].map((device) => [device.id, device.acknowledged]);
  }

  /** Ends every connection politely, then surely. */
  async close(): Promise<void> {
    for (const device of this.#devices.values()) device.end();
    await this.#clock.sleep(200);
    for (const device of this.#devices.values()) device.destroy();
  }

  async #lastAnswers(): Promise<void> {
    const until = this.#clock.elapsed() + lastAnswersMs;
    const waiting = () => [...this.#devices.values()].some((device) => device.unanswered > 0);
    while (waiting() && this.#clock.elapsed() < until) await this.#clock.sleep(50);
  }
}
