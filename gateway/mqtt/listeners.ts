/** Which sessions listen to what devices say: the filters that could match telemetry or events, by client id. Kept for
 * sessions that are away, so that what is queued for them is. */
import { filterMatches } from '#common/topic-match.ts';
import { shareOf } from './topic.ts';

const lanes = [
  ['devices', '+', 'telemetry'],
  ['devices', '+', 'events'],
  ['devices', '+', 'commands', '+', 'reply'],
];

/** Filters of a session that is in the store stand under a name that no client id can have. */
const keptName = (clientId: string): string => `\0kept/${clientId}`;

export class Listeners {
  readonly #byClient = new Map<string, Set<string>>();
  /** How many sessions have a filter; those of shares without their groups. */
  readonly #counts = new Map<string, number>();
  /** Told when what is listened to may have changed. */
  onChange: () => void = () => {};
  /** All filters, split; null until they are asked for after a change. */
  #filters: readonly (readonly string[])[] | null = null;

  add(clientId: string, filter: string): void {
    if (couldHear(filter) && !isOwnCommands(clientId, filter)) this.#put(clientId, filter);
  }

  remove(clientId: string, filter: string): void {
    if (this.#byClient.get(clientId)?.delete(filter)) this.#count(filter, -1);
  }

  /** All filters of somebody at once. */
  replace(name: string, filters: readonly string[]): void {
    const heard = new Set(filters.filter(couldHear));
    for (const filter of this.#byClient.get(name) ?? []) if (!heard.has(filter)) this.remove(name, filter);
    for (const filter of heard) this.#put(name, filter);
    if (heard.size === 0) this.#byClient.delete(name);
  }

  /** All filters of a session that is in the store, whether it is here or away; none when it is gone. */
  keep(clientId: string, filters: readonly string[]): void {
    this.replace(
      keptName(clientId),
      filters.filter((filter) => !isOwnCommands(clientId, filter)),
    );
  }

  /** The connection is gone. */
  forget(clientId: string): void {
    for (const filter of this.#byClient.get(clientId) ?? []) this.#count(filter, -1);
    this.#byClient.delete(clientId);
  }

  /** Filters of sessions for which `whose` says yes; those of shares without their groups. */
  filtersOf(whose: (clientId: string) => boolean): Set<string> {
    return new Set(
      [...this.#byClient].flatMap(([clientId, filters]) =>
        whose(clientId) ? [...filters].map(plainOf) : [],
      ),
    );
  }

  wants(topic: string): boolean {
    if (this.#counts.size === 0) return false;
    this.#filters ??= [...this.#counts.keys()].map((filter) => filter.split('/'));
    const levels = topic.split('/');
    return this.#filters.some((filter) => filterMatches(filter, levels));
  }

  #put(name: string, filter: string): void {
    const filters = this.#byClient.get(name) ?? new Set();
    if (filters.has(filter)) return;
    this.#byClient.set(name, filters.add(filter));
    this.#count(filter, 1);
  }

  #count(filter: string, by: 1 | -1): void {
    const plain = plainOf(filter);
    const count = (this.#counts.get(plain) ?? 0) + by;
    if (count > 0) this.#counts.set(plain, count);
    else this.#counts.delete(plain);
    this.#filters = null;
    this.onChange();
  }
}

/** What a filter matches, whoever shares it. */
const plainOf = (filter: string): string => shareOf(filter)?.filter ?? filter;

/** Its own commands and replies, of which every device may have a filter: it does not hear them from here. */
function isOwnCommands(clientId: string, filter: string): boolean {
  const [root, device, room] = filter.split('/', 3);
  return root === 'devices' && room === 'commands' && device === clientId.split(/[/:]/, 1)[0];
}

/** Whether a filter can match a topic of the lane at all: level by level, a wildcard on either side agrees. */
export function couldHear(filter: string): boolean {
  const levels = plainOf(filter).split('/');
  return lanes.some((lane) => {
    for (let level = 0; level < lane.length; level++) {
      const mine = levels[level];
      if (mine === '#') return true;
      if (mine === undefined || (mine !== '+' && lane[level] !== '+' && mine !== lane[level])) return false;
    }
    return true;
  });
}
