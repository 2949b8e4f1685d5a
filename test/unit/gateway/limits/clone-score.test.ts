/** Traces of days: what one device does stays below the threshold, what two do crosses it. */
import { describe, expect, test } from 'vitest';
import {
  afterTakeover,
  type CloneMemory,
  type Place,
  type Sequence,
  scoreAt,
  sequenceWeight,
} from '../../../../gateway/limits/clone-score.ts';

const minute = 60_000;
const hour = 60 * minute;
const threshold = 20;

/** A session that comes: at a time, from a network, and for how long nothing had been heard of the one before. */
interface Arrival {
  readonly atMs: number;
  readonly network: string;
  readonly silentMs?: number;
  /** The one before had ended by itself. */
  readonly alone?: boolean;
}

/** The highest score of a trace, and when it crossed the threshold. */
function live(arrivals: readonly Arrival[]): { highest: number; crossedMs: number | null } {
  let memory: CloneMemory | null = null;
  let before: Place | null = null;
  let highest = 0;
  let crossedMs: number | null = null;
  for (const { atMs, network, silentMs = 5_000, alone = false } of arrivals) {
    const by = { address: `${network}:1`, network, atMs };
    if (before && !alone) memory = afterTakeover(memory, { by, of: before, silentMs }, hour);
    before = by;
    highest = Math.max(highest, memory?.score ?? 0);
    if (highest >= threshold) crossedMs ??= atMs;
  }
  return { highest, crossedMs };
}

/** The same random numbers in every run. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
const every = (periodMs: number, forMs: number, at: (n: number) => Omit<Arrival, 'atMs'>): Arrival[] =>
  Array.from({ length: Math.floor(forMs / periodMs) }, (_, n) => ({ atMs: n * periodMs, ...at(n) }));

describe('one device', () => {
  test('a commuter: home, road, office, road, home, and every cell of the road another network', () => {
    const day = [7, 7.2, 7.4, 7.6, 8, 12, 12.1, 12.5, 17, 17.2, 17.4, 17.6, 18].map((at, n) => ({
      atMs: at * hour,
      network: n % 6 === 0 ? 'home' : `cell-${n % 5}`,
    }));
    const week = Array.from({ length: 7 }, (_, d) =>
      day.map((each) => ({ ...each, atMs: each.atMs + d * 24 * hour })),
    );
    expect(live(week.flat()).highest).toBeLessThan(2);
  });

  test('at the edge of a wireless network: to and fro a dozen times in twenty minutes', () => {
    const edge = every(100_000, 20 * minute, (n) => ({ network: n % 2 ? 'wireless' : 'cellular' }));
    expect(live(edge).highest).toBeLessThan(threshold * 0.6);
  });

  test('a pool of addresses in one network, another at every connect, for days', () => {
    expect(live(every(30_000, 48 * hour, () => ({ network: 'pool' }))).highest).toBe(0);
  });

  test('a pool of addresses over four networks, a new connection every six minutes, for a week', () => {
    const roll = dice(1);
    const pool = every(6 * minute, 7 * 24 * hour, () => ({ network: `pool-${Math.floor(roll() * 4)}` }));
    expect(live(pool).highest).toBeLessThan(threshold / 2);
  });

  test('the same with a connection that is lost every five minutes, its session found dead at the next', () => {
    const roll = dice(2);
    const pool = every(5 * minute, 7 * 24 * hour, () => ({
      network: `pool-${Math.floor(roll() * 4)}`,
      silentMs: 4 * minute,
    }));
    expect(live(pool).highest).toBe(0);
  });

  test('two links that are used by turns, each session ended before the next begins', () => {
    expect(live(every(minute, 24 * hour, (n) => ({ network: `link-${n % 2}`, alone: true }))).highest).toBe(
      0,
    );
  });
});

describe('two that hold one certificate', () => {
  test.each([
    [5_000, 3 * minute],
    [30_000, 15 * minute],
    [minute, 30 * minute],
    [2 * minute - 1, 90 * minute],
  ])('that come back %i ms after they were ended are found in %i ms', (pauseMs, withinMs) => {
    const fight = every(pauseMs, 3 * hour, (n) => ({
      network: n % 2 ? 'real' : 'clone',
      silentMs: Math.min(pauseMs, minute),
    }));
    const { crossedMs } = live(fight);
    expect(crossedMs).not.toBeNull();
    expect(crossedMs).toBeLessThan(withinMs);
  });

  test('a clone that moves about is found as well', () => {
    const roll = dice(3);
    const fight = every(20_000, 3 * hour, (n) => ({
      network: n % 2 ? 'real' : `clone-${Math.floor(roll() * 3)}`,
    }));
    expect(live(fight).crossedMs).toBeLessThan(hour);
  });

  test('one that connects at night, when the other has gone, is not found by takeovers', () => {
    const days = every(12 * hour, 30 * 24 * hour, (n) => ({ network: n % 2 ? 'night' : 'day', alone: true }));
    expect(live(days).highest).toBe(0);
  });
});

test('a score halves with its half-life', () => {
  expect(scoreAt({ score: 8, asOfMs: 0, left: [] }, 3 * hour, hour)).toBe(1);
});

describe('a sequence', () => {
  const at = (value: number, network: string): Sequence => ({
    value,
    place: { address: `${network}:1`, network, atMs: 0 },
  });

  test('of one device grows, is sent again, or begins anew: nothing speaks against it', () => {
    expect(sequenceWeight(null, at(5_000, 'a'))).toBe(0);
    expect(sequenceWeight(at(5_000, 'a'), at(5_001, 'b'))).toBe(0);
    expect(sequenceWeight(at(5_000, 'a'), at(4_900, 'b'))).toBe(0);
    expect(sequenceWeight(at(5_000, 'a'), at(0, 'a'))).toBe(0);
  });

  test('that goes back where it was weighs little, for a device may have been restored', () => {
    expect(sequenceWeight(at(50_000, 'a'), at(40_000, 'a'))).toBe(0.25);
  });

  test('of a clone that only connects at night goes back elsewhere, which is proof', () => {
    expect(sequenceWeight(at(50_000, 'day'), at(40_000, 'night'))).toBe(1);
  });
});
