/**
 * A bounded memory in which nobody can push out the others: each source has a share, and when that is used up its own
 * oldest makes room. It is full by number and by weight, and then forgets the oldest of all.
 */

export interface ShelfLimits {
  readonly most: number;
  /** Of one source. */
  readonly share: number;
  readonly maxWeight: number;
}

interface Place<Item> {
  readonly item: Item;
  readonly source: string;
  readonly weight: number;
}

export class Shelf<Item> {
  readonly #limits: ShelfLimits;
  /** In the order in which they came: a Map keeps it, and lets go of any. */
  readonly #places = new Map<number, Place<Item>>();
  readonly #bySource = new Map<string, number[]>();
  #weight = 0;
  #last = 0;

  constructor(limits: ShelfLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#places.size;
  }

  add(source: string, item: Item, weight: number): void {
    const { most, share, maxWeight } = this.#limits;
    const own = this.#bySource.get(source);
    if (own && own.length >= share) this.#drop(own[0]!);
    this.#last += 1;
    this.#places.set(this.#last, { item, source, weight });
    this.#weight += weight;
    const mine = this.#bySource.get(source);
    if (mine) mine.push(this.#last);
    else this.#bySource.set(source, [this.#last]);
    for (const oldest of this.#places.keys()) {
      if (this.#places.size <= most && (this.#weight <= maxWeight || this.#places.size === 1)) return;
      this.#drop(oldest);
    }
  }

  /** Oldest first. */
  *items(): Generator<Item> {
    for (const { item } of this.#places.values()) yield item;
  }

  /** The oldest of a source goes first, so it stands at the beginning of its list. */
  #drop(number: number): void {
    const { source, weight } = this.#places.get(number)!;
    this.#places.delete(number);
    this.#weight -= weight;
    const own = this.#bySource.get(source)!;
    if (own.length === 1) this.#bySource.delete(source);
    else own.shift();
  }
}
