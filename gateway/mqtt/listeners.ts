/** Which sessions listen to what devices say: the filters that could match telemetry or events, by client id. Kept for
 * sessions that are away, so that what is queued for them is. */
import { filterMatches } from '#common/topic-match.ts';

const lanes = [
  ['devices', '+', 'telemetry'],
  ['devices', '+', 'events'],
];

export class Listeners {
  readonly #byClient = new Map<string, Set<string>>();
  /** Told when what is listened to may have changed. */
  onChange: () => void = () => {};
  /** All filters of all clients, split; made anew when a subscription changes. */
  #filters: readonly (readonly string[])[] = [];

  add(clientId: string, filter: string): void {
    if (!couldHear(filter)) return;
    const filters = this.#byClient.get(clientId) ?? new Set();
    this.#byClient.set(clientId, filters.add(filter));
    this.#gather();
  }

  remove(clientId: string, filter: string): void {
    if (this.#byClient.get(clientId)?.delete(filter)) this.#gather();
  }

  /** All filters of somebody at once. */
  replace(clientId: string, filters: readonly string[]): void {
    const heard = filters.filter(couldHear);
    if (heard.length === 0) return this.forget(clientId);
    this.#byClient.set(clientId, new Set(heard));
    this.#gather();
  }

  /** The session is gone for good. */
  forget(clientId: string): void {
    if (this.#byClient.delete(clientId)) this.#gather();
  }

  /** Filters of sessions for which `whose` says yes. */
  filtersOf(whose: (clientId: string) => boolean): Set<string> {
    return new Set(
      [...this.#byClient].flatMap(([clientId, filters]) => (whose(clientId) ? [...filters] : [])),
    );
  }

  wants(topic: string): boolean {
    if (this.#filters.length === 0) return false;
    const levels = topic.split('/');
    return this.#filters.some((filter) => filterMatches(filter, levels));
  }

  #gather(): void {
    const all = new Set([...this.#byClient.values()].flatMap((filters) => [...filters]));
    this.#filters = [...all].map((filter) => filter.split('/'));
    this.onChange();
  }
}

/** Whether a filter can match a topic of the lane at all: level by level, a wildcard on either side agrees. */
export function couldHear(filter: string): boolean {
  const levels = (filter.startsWith('$share/') ? filter.split('/').slice(2) : filter.split('/')) as string[];
  return lanes.some((lane) => {
    for (let level = 0; level < lane.length; level++) {
      const mine = levels[level];
      if (mine === '#') return true;
      if (mine === undefined || (mine !== '+' && lane[level] !== '+' && mine !== lane[level])) return false;
    }
    return true;
  });
}
