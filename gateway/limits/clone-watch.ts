/**
 * Watches for devices that are two: remembers those that take over their own sessions from elsewhere, and, where devices
 * count their messages, how far each has counted. Who crosses the threshold is reported to the registry. A device that
 * does neither is not remembered.
 */
import { LRUCache } from 'lru-cache';
import { type Clock, timestamp } from '#common/clock.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { mostPlaces, type SuspicionReason } from '#common/contract/suspicion.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { neighbourhood, networkOf } from '../door/connect-limits.ts';
import type { Peer } from '../door/peer.ts';
import { hostOf } from '../door/read-peer.ts';
import type { CloneSettings } from '../settings.ts';
import {
  afterTakeover,
  type CloneMemory,
  type Place,
  type Sequence,
  scoreAt,
  sequenceWeight,
} from './clone-score.ts';

export interface CloneWatchOptions {
  settings: CloneSettings;
  ask: AskRegistry;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Devices of which is remembered how far they have counted. */
  size: number;
}

/** Of a session, what tells where and when it was; `lastHeardMs` of `clock.elapsed()`. */
export interface Visit {
  readonly peer: Pick<Peer, 'address'>;
  readonly entry: { readonly device: DeviceId };
  readonly connectedAtMs: number;
  readonly lastHeardMs?: number;
}

/** Devices that were taken over from elsewhere; the one unseen for longest goes first. */
const mostRestless = 10_000;

export class CloneWatch {
  readonly #options: CloneWatchOptions;
  readonly #memories = new LRUCache<string, CloneMemory>({ max: mostRestless });
  readonly #sequences: LRUCache<string, Sequence> | null;
  /** Reports on their way: one a device. */
  readonly #reporting = new Set<string>();

  constructor(options: CloneWatchOptions) {
    this.#options = options;
    this.#sequences = options.settings.sequence === '' ? null : new LRUCache({ max: options.size });
  }

  /** A session is about to end an older one of its client id. */
  tookOver(older: Omit<Visit, 'entry'>, newer: Visit): void {
    const { metrics, clock, settings } = this.#options;
    const nowMs = clock.now();
    const [by, of] = [placeOf(newer.peer, nowMs), placeOf(older.peer, older.connectedAtMs)];
    const same = neighbourhood(hostOf(by.address)) === neighbourhood(hostOf(of.address));
    metrics.takeoversTotal.inc({ address: same ? 'same' : 'other' });
    if (settings.threshold === 0) return;
    const { device } = newer.entry;
    const silentMs = clock.elapsed() - (older.lastHeardMs ?? Number.NEGATIVE_INFINITY);
    const memory = afterTakeover(this.#memories.get(device) ?? null, { by, of, silentMs }, settings.halfLife);
    if (memory) this.#remember(device, memory, 'takeovers', by);
  }

  /** What is remembered of a device goes with its session to another process. Plain data; null when there is nothing. */
  pack({ entry: { device } }: Pick<Visit, 'entry'>): unknown {
    const memory = this.#memories.get(device) ?? null;
    this.#memories.delete(device);
    return memory;
  }

  /** What another process had packed. */
  unpack(device: DeviceId, luggage: unknown): void {
    if (luggage !== null) this.#memories.set(device, luggage as CloneMemory);
  }

  /** Whether devices count their messages. */
  get counts(): boolean {
    return this.#sequences !== null;
  }

  /** The name of the user property, and of the HTTP header, in which they do. */
  get sequenceName(): string {
    return this.#options.settings.sequence;
  }

  /** A message that was not sent before. What is no number is passed over. */
  counted(device: DeviceId, peer: Pick<Peer, 'address'>, text: string | undefined): void {
    if (this.#sequences === null || text === undefined || !/^\d{1,15}$/.test(text)) return;
    const { clock, settings } = this.#options;
    const nowMs = clock.now();
    const last = this.#sequences.get(device) ?? null;
    // The place is worked out when it is another peer than before: most messages come one after the other.
    const place = last?.place.address === peer.address ? last.place : placeOf(peer, nowMs);
    const next = { value: Number(text), place };
    this.#sequences.set(device, next);
    const weight = sequenceWeight(last, next);
    if (weight === 0 || settings.threshold === 0) return;
    const before = this.#memories.get(device) ?? { score: 0, asOfMs: nowMs, left: [] };
    const score = scoreAt(before, nowMs, settings.halfLife) + weight * settings.threshold;
    const left = [...before.left, last!.place].slice(-mostPlaces);
    this.#remember(device, { score, asOfMs: nowMs, left }, 'sequence', place);
  }

  #remember(device: DeviceId, memory: CloneMemory, reason: SuspicionReason, now: Place): void {
    this.#memories.set(device, memory);
    if (memory.score < this.#options.settings.threshold || this.#reporting.has(device)) return;
    this.#reporting.add(device);
    void this.#report(device, memory, reason, now).finally(() => this.#reporting.delete(device));
  }

  /** Never rejects. */
  async #report(device: DeviceId, memory: CloneMemory, reason: SuspicionReason, now: Place): Promise<void> {
    const { ask, log, metrics, settings } = this.#options;
    const { quarantine } = settings;
    const score = Math.round(memory.score * 10) / 10;
    const places = [...memory.left, now]
      .slice(-mostPlaces)
      .map(({ address, atMs }) => ({ address, at: timestamp(atMs) }));
    const said = { device, reason, score, addresses: places.map(({ address }) => address) };
    log.warn({ ...said, quarantine }, 'A device seems to be two.');
    metrics.clonesSuspectedTotal.inc();
    try {
      await ask('suspect', { device, reason, score, places, quarantine });
      // What was reported has been said: it is said again when as much has come together once more.
      this.#memories.delete(device);
    } catch (thrown) {
      log.warn({ device, fault: Fault.of(thrown).message }, 'A suspicion could not be reported.');
    }
  }
}

function placeOf({ address }: Pick<Peer, 'address'>, atMs: number): Place {
  return { address, network: networkOf(neighbourhood(hostOf(address))), atMs };
}
