/**
 * What a session hears from the gateway itself: its commands, the answers to its renewals, its errors. Nobody else publishes
 * there, so that a session which is not kept needs no broker for them.
 */
export class PrivateTopics {
  /** QoS by filter; made when there is one. */
  #filters: Map<string, 0 | 1 | 2> | undefined;

  add(filter: string, qos: 0 | 1 | 2): void {
    this.#filters ??= new Map();
    this.#filters.set(filter, qos);
  }

  /** Whether it was there. */
  delete(filter: string): boolean {
    return this.#filters?.delete(filter) ?? false;
  }

  get filters(): string[] {
    return this.#filters ? [...this.#filters.keys()] : [];
  }

  qosOf(filter: string): 0 | 1 | 2 | undefined {
    return this.#filters?.get(filter);
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
