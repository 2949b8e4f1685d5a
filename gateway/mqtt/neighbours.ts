/**
 * The other gateways at the same ports, as the broker sees them: what is published here reaches who listens there, and the
 * other way round. A message is carried as it was published, with the broker's number on it, so that queues and
 * de-duplication count it once; it is carried to those only that have said that somebody of theirs listens.
 */
import { filterMatches } from '#common/topic-match.ts';
import { couldHear, type Listeners } from './listeners.ts';
import { shareOf } from './topic.ts';

/** A message on its way between brokers. */
export interface CarriedPacket {
  readonly cmd: 'publish';
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly properties?: object;
  readonly brokerId?: string;
  readonly brokerCounter?: number;
  readonly messageExpiry?: number;
  readonly clientId?: string;
  readonly nl?: boolean;
  /** Which shared subscriptions are served where it arrives, by their whole names; all that are there when absent. */
  readonly shares?: readonly string[];
  /** It is for those alone: a member elsewhere has left it. */
  readonly sharesOnly?: boolean;
  /** Which are served elsewhere. */
  readonly sharesElsewhere?: readonly string[];
}

/**
 * What sessions that are connected to a gateway listen to: filters of the telemetry lane one by one, others by their kind,
 * and shared subscriptions by their whole names.
 */
export interface Interests {
  readonly lane: readonly string[];
  readonly other: readonly string[];
  readonly shares: readonly string[];
}

/** The way to the neighbours; built by who knows them. */
export interface NeighbourLine {
  /** From now on what they say is heard. */
  join(ears: NeighbourEars): void;
  /** Tells all of them; resolves, within a bound and never with an error, when they know. */
  listening(interests: Interests): Promise<void>;
  /** False when too much is waiting on the way: the message is not carried. */
  carry(to: readonly number[], packet: CarriedPacket): boolean;
}

export interface NeighbourEars {
  listens(neighbour: number, interests: Interests): void;
  hear(packet: CarriedPacket): void;
  /** It is no more. */
  gone(neighbour: number): void;
}

/** What we reach into of aedes' emitter. */
export interface Emitter {
  on(topic: string, listener: object, done?: () => void): unknown;
  removeListener(topic: string, listener: object, done?: () => void): unknown;
  emit(packet: CarriedPacket, done?: (error?: Error | null) => void): unknown;
}

/** Kinds that are told one by one; more are told as `#`. Of more shares than that the rest are of one worker each. */
export const mostKinds = 1000;

/** A neighbour's filters of the lane stand among the listeners under a name that no client id can have. */
const nameOf = (neighbour: number): string => `\0${neighbour}`;

type Filter = readonly string[];

interface Known {
  readonly lane: readonly Filter[];
  readonly other: readonly Filter[];
  readonly shares: readonly { readonly name: string; readonly filter: Filter }[];
}

export class Neighbours implements NeighbourEars {
  readonly #line: NeighbourLine;
  readonly #listeners: Listeners;
  readonly #missed: () => void;
  readonly #emit: Emitter['emit'];
  readonly #known = new Map<number, Known>();
  /** Live subscriptions here by kind. */
  readonly #kinds = new Map<string, number>();
  /** Live members here of shared subscriptions, by their whole names. */
  readonly #shares = new Map<string, number>();
  /** Whose turn it is to serve a share of which nobody is here. */
  #turn = 0;
  #told = '';
  /** What has changed in this turn is told together. */
  #gathering: Promise<void> | null = null;
  /** Resolves when the neighbours know all there is to know; null when they do. */
  #unknown: Promise<void> | null = null;

  /** Stands between broker and emitter from now on; `missed` counts messages that could not be carried. */
  constructor(mq: Emitter, listeners: Listeners, line: NeighbourLine, missed: () => void) {
    this.#line = line;
    this.#listeners = listeners;
    this.#missed = missed;
    const emit = mq.emit.bind(mq);
    const on = mq.on.bind(mq);
    const removeListener = mq.removeListener.bind(mq);
    this.#emit = emit;
    mq.emit = (packet, done) => {
      const elsewhere = this.#carry(packet);
      return emit(elsewhere === null ? packet : { ...packet, sharesElsewhere: elsewhere }, done);
    };
    mq.on = (topic, listener, done) => {
      this.#count(topic, 1);
      // SUBACK waits until the neighbours know: what is published after it, anywhere, arrives.
      const unknown = this.#unknown;
      return on(topic, listener, done && unknown ? () => void unknown.then(done) : done);
    };
    mq.removeListener = (topic, listener, done) => {
      this.#count(topic, -1);
      return removeListener(topic, listener, done);
    };
    listeners.onChange = () => this.#tell();
    line.join(this);
  }

  listens(neighbour: number, { lane, other, shares }: Interests): void {
    const split = (filters: readonly string[]) => filters.map((filter) => filter.split('/'));
    this.#known.set(neighbour, {
      lane: split(lane),
      other: split(other),
      shares: shares.map((name) => ({ name, filter: shareOf(name)!.filter.split('/') })),
    });
    this.#listeners.replace(nameOf(neighbour), lane);
  }

  hear(packet: CarriedPacket): void {
    this.#emit(packet.shares ? packet : { ...packet, shares: [] }, () => {});
  }

  gone(neighbour: number): void {
    this.#known.delete(neighbour);
    this.#listeners.forget(nameOf(neighbour));
  }

  /** Hands what a member of a share has left here to a neighbour that has members; false when none has. */
  hand(name: string, packet: CarriedPacket): boolean {
    for (const [neighbour, { shares }] of this.#known)
      if (shares.some((share) => share.name === name))
        return this.#line.carry([neighbour], { ...carried(packet), shares: [name], sharesOnly: true });
    return false;
  }

  /** Gives the shared subscriptions that neighbours serve of this message; null when they serve none. */
  #carry(packet: CarriedPacket): readonly string[] | null {
    if (this.#known.size === 0) return null;
    const { topic } = packet;
    if (topic.startsWith('$SYS/')) return null;
    const levels = topic.split('/');
    const isLane = couldHear(topic);
    const served = this.#assign(levels);
    let to: number[] | null = null;
    for (const [neighbour, { lane, other }] of this.#known) {
      const shares = served?.get(neighbour);
      if (shares) this.#send([neighbour], { ...carried(packet), shares });
      else if (matchesAny(lane, levels) || (!isLane && matchesAny(other, levels)))
        to = [...(to ?? []), neighbour];
    }
    if (to !== null) this.#send(to, carried(packet));
    return served && [...served.values()].flat();
  }

  #send(to: readonly number[], packet: CarriedPacket): void {
    if (!this.#line.carry(to, packet)) this.#missed();
  }

  /** Who serves which shares, of those that match and have nobody here: one neighbour each, in turn. Null: nobody any. */
  #assign(levels: Filter): Map<number, string[]> | null {
    let members: Map<string, number[]> | null = null;
    for (const [neighbour, { shares }] of this.#known) {
      for (const { name, filter } of shares) {
        if (this.#shares.has(name) || !filterMatches(filter, levels)) continue;
        members ??= new Map();
        members.set(name, [...(members.get(name) ?? []), neighbour]);
      }
    }
    if (members === null) return null;
    const served = new Map<number, string[]>();
    for (const [name, neighbours] of members) {
      const neighbour = neighbours[this.#turn++ % neighbours.length]!;
      served.set(neighbour, [...(served.get(neighbour) ?? []), name]);
    }
    return served;
  }

  #count(topic: string, by: 1 | -1): void {
    if (topic.startsWith('$SYS/')) return;
    if (shareOf(topic)) return this.#change(this.#shares, topic, by);
    if (!couldHear(topic) || isOfCommands(topic)) this.#change(this.#kinds, kindOf(topic), by);
  }

  #change(counts: Map<string, number>, name: string, by: 1 | -1): void {
    const before = counts.get(name) ?? 0;
    if (before + by > 0) counts.set(name, before + by);
    else counts.delete(name);
    if (before === 0 || before + by === 0) this.#tell();
  }

  #tell(): void {
    if (this.#gathering) return;
    const telling = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      this.#gathering = null;
      const interests = this.#interests();
      const words = JSON.stringify(interests);
      if (words === this.#told) return;
      this.#told = words;
      return this.#line.listening(interests);
    });
    this.#gathering = telling;
    const known: Promise<void> = Promise.all([this.#unknown, telling]).then(() => {
      if (this.#unknown === known) this.#unknown = null;
    });
    this.#unknown = known;
  }

  #interests(): Interests {
    // Of sessions that are connected here: what is kept for others is the store's to hand out.
    const lane = [...this.#listeners.filtersOf((clientId) => !clientId.startsWith('\0'))];
    const other = this.#kinds.size > mostKinds ? ['#'] : [...this.#kinds.keys()];
    return { lane, other, shares: [...this.#shares.keys()].slice(0, mostKinds) };
  }
}

const matchesAny = (filters: readonly Filter[], levels: Filter): boolean =>
  filters.some((filter) => filterMatches(filter, levels));

/** A device's own topics are of one kind, whosever they are: thousands of devices listen to a handful of kinds. */
export function kindOf(filter: string): string {
  const levels = filter.split('/');
  if (levels[0] === 'devices' && levels.length > 1) levels[1] = '+';
  return levels.join('/');
}

/** A device's own commands: replies to them are heard by the lane's listeners, commands themselves by no listener of it. */
const isOfCommands = (filter: string): boolean => filter.split('/', 3)[2] === 'commands';

function carried(packet: CarriedPacket): CarriedPacket {
  const { cmd, topic, payload, qos, retain, dup, properties } = packet;
  const { brokerId, brokerCounter, messageExpiry, clientId, nl } = packet;
  return {
    cmd,
    topic,
    payload,
    qos,
    retain,
    dup,
    brokerId,
    brokerCounter,
    ...(properties !== undefined && { properties }),
    ...(messageExpiry !== undefined && { messageExpiry }),
    ...(clientId !== undefined && { clientId }),
    ...(nl !== undefined && { nl }),
  };
}
