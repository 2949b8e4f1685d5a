/**
 * Packet ids towards one client (section 2.2.1): what the broker sends and what comes from beside it have a range each, so
 * that ids which a stored session has written down are never taken by somebody else meanwhile.
 */

export class PacketIds {
  readonly #first: number;
  readonly #last: number;
  #next: number;

  constructor(first: number, last: number) {
    this.#first = first;
    this.#last = last;
    this.#next = first;
  }

  /** The next id that is not used; there must be one. */
  take(isUsed: (packetId: number) => boolean): number {
    while (isUsed(this.#next)) this.#advance();
    const packetId = this.#next;
    this.#advance();
    return packetId;
  }

  #advance(): void {
    this.#next = this.#next === this.#last ? this.#first : this.#next + 1;
  }
}

/** Ids of what comes from beside the broker begin here; the broker's end before it. */
export const firstDispatchId = 0xc000;
export const lastId = 0xffff;

/** Fewer than either range has. */
export const mostInFlight = 16_000;
