/**
 * Places shared out so that nobody who has few is kept out by somebody who has many: a network may hold as many as are
 * free, an address half of that. One that takes all it can leaves half of the places free, n of them leave one part in
 * n + 1 (the dynamic thresholds of Choudhury and Hahne, 1998). It counts, and knows nothing of what the places are.
 */
import { networkOf } from './connect-limits.ts';

export class FairShare {
  readonly #places: number;
  readonly #held = new Map<string, number>();
  #taken = 0;

  constructor(places: number) {
    this.#places = places;
  }

  get taken(): number {
    return this.#taken;
  }

  get free(): number {
    return this.#places - this.#taken;
  }

  /** Whether someone of this name (a neighbourhood) may take one more. */
  mayTake(name: string): boolean {
    return this.allows(name) && this.allows(networkOf(name));
  }

  /** The same of one level: of a neighbourhood or of a network alone. */
  allows(name: string): boolean {
    const { free } = this;
    return free > 0 && this.#of(name) <= (name.endsWith('/24') || name.endsWith('/48') ? free : free / 2);
  }

  take(name: string): void {
    const network = networkOf(name);
    this.#held.set(name, this.#of(name) + 1);
    this.#held.set(network, this.#of(network) + 1);
    this.#taken += 1;
  }

  giveBack(name: string): void {
    this.#less(name);
    this.#less(networkOf(name));
    this.#taken -= 1;
  }

  #of(name: string): number {
    return this.#held.get(name) ?? 0;
  }

  #less(name: string): void {
    const count = this.#of(name);
    if (count > 1) this.#held.set(name, count - 1);
    else this.#held.delete(name);
  }
}
