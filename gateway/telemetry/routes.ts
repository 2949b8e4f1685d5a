/** Which backends an event goes to: the configured routes, compiled, with the answers for known channels remembered. */
import type { DeviceEvent } from '#common/contract/event.ts';
import { filterMatches } from '#common/topic-match.ts';
import type { RouteSettings } from '../settings.ts';

/** Channels whose answer is remembered; then all is forgotten and learned anew. */
const rememberedChannels = 10_000;

export class Routes {
  readonly #routes: readonly { filter: readonly string[]; to: readonly string[] }[];
  readonly #known = new Map<string, ReadonlySet<string>>();

  constructor(settings: RouteSettings) {
    this.#routes = settings.map(({ match, to }) => ({ filter: match.split('/'), to }));
  }

  /** Names of the backends for an event. The words matched are `telemetry` or `events`, then the channel's levels. */
  backendsOf({ class: eventClass, channel }: Pick<DeviceEvent, 'class' | 'channel'>): ReadonlySet<string> {
    const lane = eventClass === 'event' ? 'events' : 'telemetry';
    const path = channel === '' ? lane : `${lane}/${channel}`;
    const known = this.#known.get(path);
    if (known) return known;
    if (this.#known.size >= rememberedChannels) this.#known.clear();
    const levels = path.split('/');
    const backends = new Set(
      this.#routes.flatMap(({ filter, to }) => (filterMatches(filter, levels) ? to : [])),
    );
    this.#known.set(path, backends);
    return backends;
  }
}
