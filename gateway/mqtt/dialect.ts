/**
 * The topics of other platforms, for devices that were made for those: Eclipse Hono's MQTT adapter, and what is customary
 * with AWS IoT Core. Each means a topic of our own, and by that one it is judged. Pure; docs/compatibility.md has the tables.
 */
import type { MqttSettings } from '../settings.ts';
import { commandTopic } from './command-topic.ts';

/** What a topic of another platform means here. */
export interface Meaning {
  readonly topic: string;
  /** Where the topic says it; MQTT 5 says it better, and wins. */
  readonly contentType: string;
}

/** Whom the names in a topic must mean: nobody speaks for another device. */
interface Who {
  readonly fleet: string;
  readonly device: string;
}

interface Dialect {
  /** Of a PUBLISH; null when the topic is none of this dialect. */
  meaningOf(topic: string, who: Who): Meaning | null;
  /** How a command is called for a session that subscribed with this filter; null when the filter is not for commands. */
  callerOf(filter: string, who: Who): ((id: string, name: string) => string) | null;
}

const telemetry = new Set(['telemetry', 't']);
const events = new Set(['event', 'e']);
const commands = new Set(['command', 'c', 'control']);
const requests = new Set(['req', 'q']);
const responses = new Set(['res', 's']);

/** `telemetry`, `event//pump-1`, `t/plant/pump-1/?content-type=text%2Fplain`, `command///res/<id>/200`. */
const hono: Dialect = {
  meaningOf(topic, who) {
    const bagAt = topic.lastIndexOf('/?');
    const path = bagAt < 0 ? topic : topic.slice(0, bagAt);
    const contentType =
      bagAt < 0 ? '' : (new URLSearchParams(topic.slice(bagAt + 2)).get('content-type') ?? '');
    const [word = '', tenant = '', device = '', ...rest] = path.split('/');
    const room = telemetry.has(word) ? 'telemetry' : events.has(word) ? 'events' : null;
    const isBare = path === word;
    const isOwn = isBare || (path.split('/').length > 2 && isWho(tenant, device, who));
    if (!isOwn) return null;
    if (room) return { topic: laneTopic(who, room, rest), contentType };
    const [kind = '', id = '', status = '', ...more] = rest;
    if (!commands.has(word) || !responses.has(kind) || id === '' || status === '' || more.length > 0)
      return null;
    return { topic: replyTopic(who, id, status), contentType };
  },

  callerOf(filter, who) {
    const [word = '', tenant = '', device = '', kind = '', rest, ...more] = filter.split('/');
    if (!commands.has(word) || !requests.has(kind) || rest !== '#' || more.length > 0) return null;
    const any = (level: string, name: string) => level === '+' || level === '' || level === name;
    if (!any(tenant, who.fleet) || !any(device, who.device)) return null;
    // A device that leaves its own name open is not told it, as there.
    const own = (level: string) => (level === '+' ? '' : level);
    return (id, name) => [word, own(tenant), own(device), kind, id, name].join('/');
  },
};

/** `dt/<app>/<context>/<thing>/<type>`, `$aws/rules/<rule>/…`, `cmd/<app>/<context>/<thing>/res/<id>/<status>`. */
const aws: Dialect = {
  meaningOf(topic, who) {
    const levels = topic.split('/');
    const [root, app = '', context = '', thing, ...rest] = levels;
    // Basic Ingest: what is behind the rule is free.
    if (root === '$aws')
      return app === 'rules' && context !== ''
        ? { topic: laneTopic(who, 'telemetry', levels.slice(2)), contentType: '' }
        : null;
    if (thing !== who.device || app === '' || context === '' || rest.length === 0) return null;
    if (root === 'dt')
      return { topic: laneTopic(who, 'telemetry', [app, context, ...rest]), contentType: '' };
    const [kind, id = '', status = '', ...more] = rest;
    if (root !== 'cmd' || kind !== 'res' || id === '' || status === '' || more.length > 0) return null;
    return { topic: replyTopic(who, id, status), contentType: '' };
  },

  callerOf(filter, { fleet, device }) {
    const [root, app = '', context = '', thing, kind, rest, ...more] = filter.split('/');
    if (root !== 'cmd' || thing !== device || kind !== 'req' || rest !== '#' || more.length > 0) return null;
    if (app === '' || context === '') return null;
    const said = [app === '+' ? 'fleetgate' : app, context === '+' ? fleet : context];
    return (id, name) => [root, ...said, device, kind, id, name].join('/');
  },
};

const isWho = (tenant: string, device: string, who: Who): boolean =>
  (tenant === '' || tenant === who.fleet) && (device === '' || device === who.device);

const laneTopic = ({ device }: Who, room: 'telemetry' | 'events', channel: readonly string[]): string =>
  ['devices', device, room, ...channel].join('/');

const replyTopic = ({ device }: Who, id: string, status: string): string =>
  `devices/${device}/commands/${id}/reply/${status}`;

const dialects = { hono, aws } as const;

/** What one device says and hears in the dialects that are allowed. Our own topics are always understood. */
export class Tongue {
  readonly #dialects: readonly Dialect[];
  readonly #who: Who;

  private constructor(spoken: readonly Dialect[], who: Who) {
    this.#dialects = spoken;
    this.#who = who;
  }

  /** Null when only our own topics are: then nobody has to ask. */
  static of(topics: MqttSettings['topics'], fleet: string, device: string): Tongue | null {
    const spoken = topics.flatMap((name) => (name === 'native' ? [] : [dialects[name]]));
    return spoken.length === 0 ? null : new Tongue(spoken, { fleet, device });
  }

  /** What a topic to publish to means; null when it is none of a dialect, or speaks for somebody else. */
  meaningOf(topic: string): Meaning | null {
    for (const dialect of this.#dialects) {
      const meaning = dialect.meaningOf(topic, this.#who);
      if (meaning) return meaning;
    }
    return null;
  }

  /** The filter of ours that is meant. */
  filterOf(filter: string): string {
    return this.#callerOf(filter) ? `devices/${this.#who.device}/commands/#` : filter;
  }

  /** The topic of a command for a session that has subscribed with `filter`. */
  commandTopic(filter: string, id: string, name: string): string {
    return this.#callerOf(filter)?.(id, name) ?? commandTopic(this.#who.device, id, name);
  }

  #callerOf(filter: string): ((id: string, name: string) => string) | null {
    for (const dialect of this.#dialects) {
      const caller = dialect.callerOf(filter, this.#who);
      if (caller) return caller;
    }
    return null;
  }
}
