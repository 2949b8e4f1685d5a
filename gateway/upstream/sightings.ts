/**
 * Which certificates have come in, gathered for the registry: at most once an interval each, in batches, kept while the
 * registry is away. A connect pays for one look-up. What is forgotten for lack of room is reported once more, or not at
 * all: nothing that decides who may come in hangs on it.
 */
import type { Cancel, Clock } from '#common/clock.ts';
import type { AskRegistry, Sighting } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import type { Fingerprint } from '#common/identity.ts';
import type { Logger } from '#common/log.ts';

export interface SightingsParts {
  ask: AskRegistry;
  clock: Clock;
  log: Logger;
  /** A certificate is reported at most once in it. */
  intervalMs: number;
  flushMs?: number;
  /** Sightings that wait while the registry is away; the oldest is dropped for a newer one. */
  mostWaiting?: number;
  /** Certificates of a generation; two are remembered. */
  generation?: number;
}

/** Sightings of one report. */
const batch = 1000;
/** At the end the registry is waited for so long. */
const lastWordMs = 2_000;

export class Sightings implements AsyncDisposable {
  readonly #parts: Required<SightingsParts>;
  readonly #cancel: Cancel;
  /** When each was last noted; two generations, so that forgetting costs nothing. */
  #noted = new Map<Fingerprint, number>();
  #earlier = new Map<Fingerprint, number>();
  readonly #waiting = new Map<Fingerprint, number>();
  #flushing: Promise<void> | undefined;
  #away = false;

  constructor(parts: SightingsParts) {
    this.#parts = { flushMs: 3_000, mostWaiting: 100_000, generation: 65_536, ...parts };
    this.#cancel = parts.clock.every(this.#parts.flushMs, () => void this.flush(), 0.2);
  }

  /** A certificate was admitted. */
  saw(fingerprint: Fingerprint, nowMs: number): void {
    const { intervalMs, generation, mostWaiting } = this.#parts;
    const notedMs = this.#noted.get(fingerprint) ?? this.#earlier.get(fingerprint);
    if (notedMs !== undefined && nowMs - notedMs < intervalMs) return;
    if (this.#noted.size >= generation) {
      this.#earlier = this.#noted;
      this.#noted = new Map();
    }
    this.#noted.set(fingerprint, nowMs);
    if (this.#waiting.size >= mostWaiting) {
      const oldest = this.#waiting.keys().next();
      if (!oldest.done) this.#waiting.delete(oldest.value);
    }
    this.#waiting.set(fingerprint, nowMs);
  }

  /** Sends what has gathered; never rejects. One at a time. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  async #flush(): Promise<void> {
    const { ask, log } = this.#parts;
    while (this.#waiting.size > 0) {
      const sightings = firstOf(this.#waiting, batch);
      try {
        await ask('sighted', { sightings });
      } catch (thrown) {
        if (!this.#away)
          log.warn(
            { fault: Fault.of(thrown).message, waiting: this.#waiting.size },
            'Sightings wait for the registry.',
          );
        this.#away = true;
        return;
      }
      this.#away = false;
      for (const { fingerprint, atMs } of sightings)
        if (this.#waiting.get(fingerprint) === atMs) this.#waiting.delete(fingerprint);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    const patience = new AbortController();
    await Promise.race([this.flush(), this.#parts.clock.sleep(lastWordMs, patience.signal)]);
    patience.abort();
  }
}

function firstOf(waiting: ReadonlyMap<Fingerprint, number>, most: number): Sighting[] {
  const sightings: Sighting[] = [];
  for (const [fingerprint, atMs] of waiting) {
    sightings.push({ fingerprint, atMs });
    if (sightings.length === most) break;
  }
  return sightings;
}
