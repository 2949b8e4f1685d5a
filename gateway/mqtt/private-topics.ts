/**
 * What a session hears from the gateway itself: its commands, the answers to its renewals, its errors. Nobody else publishes
 * there, so that a session which is not kept needs no broker for them.
 */
export interface PrivateSubscription {
  readonly qos: 0 | 1 | 2;
  readonly identifier: number | undefined;
}

export class PrivateTopics {
  /** Made when there is one. */
  #byFilter: Map<string, PrivateSubscription> | undefined;

  add(filter: string, subscription: PrivateSubscription): void {
    this.#byFilter ??= new Map();
    this.#byFilter.set(filter, subscription);
  }

  /** Whether it was there. */
  delete(filter: string): boolean {
    return this.#byFilter?.delete(filter) ?? false;
  }

  get filters(): string[] {
    return this.#byFilter ? [...this.#byFilter.keys()] : [];
  }

  get(filter: string): PrivateSubscription | undefined {
    return this.#byFilter?.get(filter);
  }
}

const privateEnds = [
  'commands/#',
  'commands/+/+',
  'errors',
  'certificates/renew/accepted',
  'certificates/renew/rejected',
];

export function isPrivate(filter: string, device: string): boolean {
  const own = `devices/${device}/`;
  return filter.startsWith(own) && privateEnds.includes(filter.slice(own.length));
}
