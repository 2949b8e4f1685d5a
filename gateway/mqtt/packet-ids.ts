/**
 * Packet ids towards one client (section 2.2.1): what the broker sends and what comes from beside it have a range each, so
 * that ids which a stored session has written down are never taken by somebody else meanwhile.
 */

export interface IdRange {
  readonly first: number;
  readonly last: number;
}

export const brokerIds: IdRange = { first: 1, last: 0xbfff };
export const dispatchIds: IdRange = { first: 0xc000, last: 0xffff };

export class PacketIds {
  readonly #next = new Map<IdRange, number>();

  /** The next id of the range that is not used; 0 when all are. */
  take(range: IdRange, isUsed: (packetId: number) => boolean): number {
    let packetId = this.#next.get(range) ?? range.first;
    for (let tried = range.first; tried <= range.last; tried++) {
      const following = packetId === range.last ? range.first : packetId + 1;
      if (!isUsed(packetId)) {
        this.#next.set(range, following);
        return packetId;
      }
      packetId = following;
    }
    return 0;
  }
}
