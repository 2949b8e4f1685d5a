/**
 * The meters of the devices for which limits of messages count: one a device, shared by its sessions, and remembered when
 * it comes back at once. A gateway without such devices has none.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '#common/clock.ts';
import type { MessageLimits } from '#common/contract/message-limits.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Peer } from '../door/peer.ts';
import type { CloneWatch } from './clone-watch.ts';
import { Meter } from './meter.ts';
import { Pace } from './pace.ts';

export interface MetersOptions {
  clock: Clock;
  clones: CloneWatch;
  /** How long a device may push against its limits until its session is ended. */
  patienceMs: number;
  /** Meters that are remembered; the one unused for longest goes first, though not from under a session. */
  size: number;
}

export class Meters {
  readonly #options: MetersOptions;
  #meters: LRUCache<string, Meter> | null = null;

  constructor(options: MetersOptions) {
    this.#options = options;
  }

  /** The meter of a device; null when nothing limits it. One of other limits than before begins anew. */
  of(device: string, limits: MessageLimits | null): Meter | null {
    if (limits === null) return null;
    this.#meters ??= new LRUCache({ max: this.#options.size });
    const known = this.#meters.get(device);
    if (known && sameLimits(known.limits, limits)) return known;
    const meter = new Meter(limits);
    this.#meters.set(device, meter);
    return meter;
  }

  /** For an HTTPS session: 0 when so much was counted, else milliseconds until there is room. */
  take(meter: Meter, messages: number, bytes: number): number {
    return meter.take(messages, bytes, this.#options.clock.elapsed());
  }

  /** For an MQTT session, which can be held back. */
  paceOf(device: DeviceId, limits: MessageLimits | null, peer: Peer): Pace | null {
    const { clones, clock, patienceMs } = this.#options;
    const meter = this.of(device, limits);
    if (meter === null && !clones.counts) return null;
    return new Pace({ device, peer, meter, clones: clones.counts ? clones : null, clock, patienceMs });
  }
}

const sameLimits = (one: MessageLimits, other: MessageLimits): boolean =>
  String(one.messages) === String(other.messages) && String(one.bytes) === String(other.bytes);
