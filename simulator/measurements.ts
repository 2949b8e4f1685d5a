/** What a simulation measures: HDR histograms from the intended time, and a count of everything by the second. */
import * as hdr from 'hdr-histogram-js';

export const timings = ['tls', 'connack', 'connect', 'puback', 'lateness'] as const;
export type Timing = (typeof timings)[number];

export const counts = [
  'connected',
  'refused',
  'dropped',
  'sent',
  'acknowledged',
  'missed',
  'errors',
] as const;
export type Count = (typeof counts)[number];

/** One second of a run: counts of that second, connections open at its end, and the acknowledgement's percentiles. */
export interface Second {
  readonly at: number;
  readonly open: number;
  readonly counts: Record<Count, number>;
  readonly p50: number;
  readonly p99: number;
}

export interface Summary {
  readonly count: number;
  /** Milliseconds. */
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** How measurements cross a thread. */
export interface Packed {
  readonly histograms: Record<Timing, string>;
  readonly counts: Record<Count, number>;
  readonly open: number;
}

/** Microseconds up to two minutes, three significant digits. */
const build = (): hdr.Histogram =>
  hdr.build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 120_000_000,
    numberOfSignificantValueDigits: 3,
  });

const zero = (): Record<Count, number> =>
  Object.fromEntries(counts.map((name) => [name, 0])) as Record<Count, number>;

export class Measurements {
  readonly #histograms: Record<Timing, hdr.Histogram>;
  readonly totals = zero();
  open = 0;

  constructor() {
    this.#histograms = Object.fromEntries(timings.map((name) => [name, build()])) as Record<
      Timing,
      hdr.Histogram
    >;
  }

  /** One value, in milliseconds. */
  time(name: Timing, ms: number): void {
    this.#histograms[name].recordValue(Math.min(120_000_000, Math.max(1, Math.round(ms * 1000))));
  }

  count(name: Count, by = 1): void {
    this.totals[name] += by;
  }

  summary(name: Timing): Summary {
    const histogram = this.#histograms[name];
    const at = (percentile: number) =>
      histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(percentile) / 1000;
    const [mean, max] =
      histogram.totalCount === 0 ? [0, 0] : [histogram.mean / 1000, histogram.maxValue / 1000];
    return { count: histogram.totalCount, mean, p50: at(50), p95: at(95), p99: at(99), p999: at(99.9), max };
  }

  /** Gives what was measured since the last call, and begins anew; `open` stays. */
  take(): Packed {
    const packed: Packed = {
      histograms: Object.fromEntries(
        timings.map((name) => [name, hdr.encodeIntoCompressedBase64(this.#histograms[name])]),
      ) as Record<Timing, string>,
      counts: { ...this.totals },
      open: this.open,
    };
    for (const name of timings) this.#histograms[name].reset();
    Object.assign(this.totals, zero());
    return packed;
  }

  /** Adds what another thread has measured; its open connections are summed by the caller. */
  add(packed: Packed): void {
    for (const name of timings)
      this.#histograms[name].add(hdr.decodeFromCompressedBase64(packed.histograms[name]));
    for (const name of counts) this.totals[name] += packed.counts[name];
  }
}
