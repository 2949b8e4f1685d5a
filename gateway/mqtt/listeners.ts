/** Which sessions listen to what devices say: the filters that could match telemetry or events, by client id. Kept for
 * sessions that are away, so that what is queued for them is. */
import { filterMatches } from '#common/topic-match.ts';

const lanes = [
  ['devices', '+', 'telemetry'],
  ['devices', '+', 'events'],
];

/** Filters of a session that is in the store stand under a name that no client id can have. */
const keptName = (clientId: string): string => `\0kept/${clientId}`;

export class Listeners {
  readonly #byClient = new Map<string, Set<string>>();
  /** How many sessions have a filter. */
  readonly #counts = new Map<string, number>();
  /** Told when what is listened to may have changed. */
  onChange: () => void = () => {};
  /** All filters, split; null until they are asked for after a change. */
  #filters: readonly (readonly string[])[] | null = [];

  add(clientId: string, filter: string): void {
    if (!couldHear(filter)) return;
    const filters = this.#byClient.get(clientId) ?? new Set();
    if (filters.has(filter)) return;
    this.#byClient.set(clientId, filters.add(filter));
    this.#count(filter, 1);
  }

  remove(clientId: string, filter: string): void {
    if (this.#byClient.get(clientId)?.delete(filter)) this.#count(filter, -1);
  }

  /** All filters of somebody at once. */
  replace(clientId: string, filters: readonly string[]): void {
    const heard = new Set(filters.filter(couldHear));
    for (const filter of this.#byClient.get(clientId) ?? [])
      if (!heard.has(filter)) this.remove(clientId, filter);
    for (const filter of heard) this.add(clientId, filter);
    if (heard.size === 0) this.#byClient.delete(clientId);
  }

  /** All filters of a session that is in the store, whether it is here or away; none when it is gone. */
  keep(clientId: string, filters: readonly string[]): void {
    this.replace(keptName(clientId), filters);
  }

  /** The connection is gone. */
  forget(clientId: string): void {
    for (const filter of this.#byClient.get(clientId) ?? []) this.#count(filter, -1);
    this.#byClient.delete(clientId);
  }

  /** Filters of sessions for which `whose` says yes. */
  filtersOf(whose: (clientId: string) => boolean): Set<string> {
    return new Set(
      [...this.#byClient].flatMap(([clientId, filters]) => (whose(clientId) ? [...filters] : [])),
    );
  }

  wants(topic: string): boolean {
    if (this.#counts.size === 0) return false;
    this.#filters ??= [...this.#counts.keys()].map((filter) => filter.split('/'));
    const levels = topic.split('/');
    return this.#filters.some((filter) => filterMatches(filter, levels));
  }

  #count(filter: string, by: 1 | -1): void {
    const count = (this.#counts.get(filter) ?? 0) + by;
    if (count > 0) this.#counts.set(filter, count);
    else this.#counts.delete(filter);
    this.#filters = null;
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
