/**
 * A line in which networks have their turns one after the other, and in a network its addresses: the order in which many
 * wait for few places without one of them waiting for all that another has put there. It has no bound of its own.
 */
import { networkOf } from './connect-limits.ts';

type Addresses<T> = Map<string, Set<T>>;

/** Whether a name, of a network or a neighbourhood, may have its turn now. */
export type MayTake = (name: string) => boolean;

export class FairLine<T> {
  /** Each level in the order of its turns; what waits at an address, the longest first. */
  readonly #networks = new Map<string, Addresses<T>>();

  add(name: string, item: T): void {
    const network = networkOf(name);
    const addresses: Addresses<T> = this.#networks.get(network) ?? new Map();
    const items = addresses.get(name) ?? new Set();
    if (items.size === 0) addresses.set(name, items);
    if (addresses.size === 1) this.#networks.set(network, addresses);
    items.add(item);
  }

  remove(name: string, item: T): void {
    const network = networkOf(name);
    const addresses = this.#networks.get(network);
    const items = addresses?.get(name);
    if (!addresses || !items?.delete(item)) return;
    if (items.size === 0) addresses.delete(name);
    if (addresses.size === 0) this.#networks.delete(network);
  }

  /** What waits longest at an address; in its network when nothing does. */
  oldest(name: string): T | undefined {
    const addresses = this.#networks.get(networkOf(name));
    const [items] = addresses?.values() ?? [];
    const [item] = addresses?.get(name) ?? items ?? [];
    return item;
  }

  /** Takes out whose turn it is, passing over those who may not now. */
  shift(mayTake: MayTake): T | undefined {
    for (const [network, addresses] of this.#networks) {
      if (!mayTake(network)) continue;
      for (const [name, items] of addresses) {
        if (!mayTake(name)) continue;
        const [item] = items;
        // Both go to the end of their turns.
        this.#networks.delete(network);
        this.#networks.set(network, addresses);
        addresses.delete(name);
        addresses.set(name, items);
        this.remove(name, item!);
        return item;
      }
    }
    return undefined;
  }
}
