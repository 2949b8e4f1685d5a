/** Which sessions listen to what devices say: the filters that could match telemetry or events, by client id. Kept for
 * sessions that are away, so that what is queued for them is. */
import { filterMatches } from '#common/topic-match.ts';
import { shareOf } from './topic.ts';

const lanes = [
  ['devices', '+', 'telemetry'],
  ['devices', '+', 'events'],
  ['devices', '+', 'commands', '+', 'reply'],
];

export class Listeners {
  readonly #byClient = new Map<string, Set<string>>();
  /** Told when what is listened to may have changed. */
  onChange: () => void = () => {};
  /** All filters of all clients, split; made anew when a subscription changes. */
  #filters: readonly (readonly string[])[] = [];

  add(clientId: string, filter: string): void {
    if (!couldHear(filter) || isOwnCommands(clientId, filter)) return;
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

  /** Filters of sessions for which `whose` says yes; those of shares without their groups. */
  filtersOf(whose: (clientId: string) => boolean): Set<string> {
    return new Set(
      [...this.#byClient].flatMap(([clientId, filters]) =>
        whose(clientId) ? [...filters].map(plainOf) : [],
      ),
    );
  }

  wants(topic: string): boolean {
    if (this.#filters.length === 0) return false;
    const levels = topic.split('/');
    return this.#filters.some((filter) => filterMatches(filter, levels));
  }

  #gather(): void {
    const all = new Set([...this.#byClient.values()].flatMap((filters) => [...filters]));
    this.#filters = [...new Set([...all].map(plainOf))].map((filter) => filter.split('/'));
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
