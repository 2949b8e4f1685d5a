/**
 * How much speaks for a device being two: a score that grows with what one device does not do, and halves with time.
 * Pure. A device moves: it takes over its own session from another network, and comes back hours later. Two that hold the
 * same certificate end each other's sessions, and each comes back because it was ended. So what counts is the return, soon
 * after, to a network that was taken over while the session there was alive; docs/decisions/13-limits-and-clones.md has
 * the reasoning and the numbers.
 */

/** Where a session was, and when. */
export interface Place {
  readonly address: string;
  readonly network: string;
  readonly atMs: number;
}

export interface CloneMemory {
  /** As of `asOfMs`. */
  readonly score: number;
  readonly asOfMs: number;
  /** Sessions that were taken over, the newest last. */
  readonly left: readonly Place[];
}

export interface Takeover {
  /** The newer session, and the one that it ends; each with the time at which it came. */
  readonly by: Place;
  readonly of: Place;
  /** How long nothing was heard of the session that is ended. */
  readonly silentMs: number;
}

/** Whoever comes back later than that has been elsewhere in the meantime. */
const soonMs = 10 * 60_000;
/** Of a session that has been silent for longer, its device may have left unnoticed. */
const aliveMs = 2 * 60_000;
const rememberedPlaces = 8;

/** A score as it is at `nowMs`. */
export const scoreAt = ({ score, asOfMs }: CloneMemory, nowMs: number, halfLifeMs: number): number =>
  score * 0.5 ** (Math.max(0, nowMs - asOfMs) / halfLifeMs);

/** What is remembered after a takeover; null while there is nothing to remember. */
export function afterTakeover(
  memory: CloneMemory | null,
  { by, of, silentMs }: Takeover,
  halfLifeMs: number,
): CloneMemory | null {
  // One network: a device behind a NAT with several addresses, or one that has just restarted.
  if (by.network === of.network) return memory;
  const nowMs = by.atMs;
  const before = memory ?? { score: 0, asOfMs: nowMs, left: [] };
  const returns = before.left.some(({ network, atMs }) => network === by.network && nowMs - atMs <= soonMs);
  const weight = returns && silentMs <= aliveMs ? 1 : 0;
  const left = [...before.left, { ...of, atMs: nowMs }].slice(-rememberedPlaces);
  return { score: scoreAt(before, nowMs, halfLifeMs) + weight, asOfMs: nowMs, left };
}

/** A number that devices count up: where it was last, and how far. */
export interface Sequence {
  readonly value: number;
  readonly place: Place;
}

/** As far as this back is a message that was sent again. */
const slack = 1000;

/**
 * What part of the threshold a number weighs: all of it when it goes back on another network, where another copy of the
 * counter must be; a quarter on the same, where a device may have been restored. One that begins anew near 0 weighs nothing.
 */
export function sequenceWeight(last: Sequence | null, next: Sequence): 0 | 0.25 | 1 {
  if (last === null || next.value > last.value - slack || next.value < slack) return 0;
  return next.place.network === last.place.network ? 0.25 : 1;
}
