/**
 * Holds one MQTT session to the limits of its device. What comes with QoS 1 or 2 waits for room, and the peer with it,
 * since nothing more is read; QoS 0 is dropped. It also reads the number of a publish where devices count them. One that has pushed against its limits for too long is ended.
 */
import type { Cancel, Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Peer } from '../door/peer.ts';
import type { CloneWatch } from './clone-watch.ts';
import type { Meter } from './meter.ts';

/** What is asked of a publish. */
export interface Paced {
  readonly duplicate: boolean;
  readonly properties: { readonly userProperty?: readonly (readonly [string, string])[] };
}

export interface PaceParts {
  readonly device: DeviceId;
  readonly peer: Peer;
  /** Null for a device that nothing limits. */
  readonly meter: Meter | null;
  /** Null where devices do not count their messages. */
  readonly clones: CloneWatch | null;
  readonly clock: Clock;
  readonly patienceMs: number;
}

export class Pace {
  readonly #parts: PaceParts;
  /** The publish that is next was counted, and waits for something else. */
  #paid = false;
  #cancel: Cancel | null = null;

  constructor(parts: PaceParts) {
    this.#parts = parts;
  }

  /** 0 when the publish may pass, else milliseconds until it may. Faults `message-rate` for one that has pushed for too long. */
  ask(publish: Paced, bytes: number): number {
    if (this.#paid) return 0;
    const { meter, clock, patienceMs } = this.#parts;
    if (meter !== null) {
      const nowMs = clock.elapsed();
      const waitMs = meter.take(1, bytes, nowMs);
      if (waitMs > 0 && meter.pressedForMs(nowMs) > patienceMs) throw tooMuch();
      if (waitMs > 0) return waitMs;
    }
    this.#paid = true;
    // What holds the session next is not for this to release.
    this.#cancel?.();
    this.#cancel = null;
    this.#count(publish);
    return 0;
  }

  /** The publish that was asked for has been taken: the next counts anew. */
  taken(): void {
    this.#paid = false;
  }

  /** Goes on after so long; only the last one asked for. */
  later(waitMs: number, goOn: () => void): void {
    this.#cancel?.();
    this.#cancel = this.#parts.clock.after(waitMs, goOn);
  }

  #count({ duplicate, properties }: Paced): void {
    const { clones, device, peer } = this.#parts;
    if (clones === null || duplicate) return;
    clones.counted(
      device,
      peer,
      properties.userProperty?.find(([name]) => name === clones.sequenceName)?.[1],
    );
  }
}

const tooMuch = () =>
  new Fault(
    'message-rate',
    'This device sends more than its role, fleet or device may, and does not slow down; send more slowly.',
  );
