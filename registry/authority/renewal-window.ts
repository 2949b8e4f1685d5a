/** When a certificate may be renewed: somewhere in the window of its profile, evenly over a fleet. */

/**
 * Milliseconds since 1970. `share` of the window, 0 to 1, has passed by then. The validity counts from issuance, `issuedMs`,
 * since notBefore lies in the past. Pure.
 */
export function renewAfterMs(
  issuedMs: number,
  notAfterMs: number,
  { from, to }: { readonly from: number; readonly to: number },
  share: number,
): number {
  return Math.round(issuedMs + ((notAfterMs - issuedMs) * (from + (to - from) * share)) / 100);
}

/** Steps of the golden ratio: wherever one stops, what has been dealt is as even as points can be (Weyl's sequence). */
const step = (Math.sqrt(5) - 1) / 2;

/**
 * Deals shares, evenly within a fleet however many are dealt: a day on which ten thousand devices were enrolled is no day
 * of ten thousand renewals, nor one of the many that chance makes of it. Each start begins elsewhere.
 */
export class EvenShares {
  readonly #begin: number;
  readonly #last = new Map<string, number>();

  constructor(begin = Math.random()) {
    this.#begin = begin;
  }

  /** One entry a fleet is kept, and fleets are not deleted. */
  next(fleet: string): number {
    const share = ((this.#last.get(fleet) ?? this.#begin) + step) % 1;
    this.#last.set(fleet, share);
    return share;
  }
}
