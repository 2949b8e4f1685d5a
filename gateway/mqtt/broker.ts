/**
 * aedes, behind the front: subscriptions, routing and queues. The only file that imports it. It sees CONNECTs of admitted
 * devices and acknowledgements of what it sent; every other packet is read by the front and reaches it as a call. Sessions,
 * their ends and their Wills are the store's: aedes is asked to keep nothing.
 */
import { Aedes, type AedesPublishPacket, type Client, type Subscription } from 'aedes';
import type { Cancel, Clock } from '#common/clock.ts';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { Standing } from '../admission/standing-right.ts';
import type { Rights } from '../sessions/rights.ts';
import type { MqttSettings } from '../settings.ts';
import type { Audience } from '../telemetry/audience.ts';
import type { Intake } from '../telemetry/intake.ts';
import { Attachment, type Departure, type LinkedClient } from './attachment.ts';
import { type BrokerGuest, BrokerLink } from './broker-link.ts';
import { BrokerPersistence } from './broker-persistence.ts';
import type { Connect } from './connect-packet.ts';
import { type Forwarding, mayForward, prepareClient } from './forwarding.ts';
import { Listeners } from './listeners.ts';
import { type Emitter, type NeighbourLine, Neighbours } from './neighbours.ts';
import { noProperties, type Properties } from './properties.ts';
import type { SessionStore } from './store/session-store.ts';
import type { Taken } from './store/session-table.ts';
import type { StoredWill } from './store/will-table.ts';
import { Wills } from './wills.ts';
import { wireProperties } from './wire-properties.ts';

/** A front that may be attached. */
export interface Guest extends BrokerGuest {
  readonly clientId: string;
  readonly device: string;
  readonly entry: DirectoryEntry;
  readonly protocol: Protocol;
  readonly rights: Rights;
  /** The client's own Maximum Packet Size. */
  readonly maximumPacketSize: number;
  end(fault: Fault, options: { silence: boolean }): Promise<void>;
  /** Its Will is being published: what the lane is to have of it. */
  will(packet: { topic: string; payload: Buffer; qos: number }): void;
}

export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly properties: Properties;
  /** Whose it is, when it is to be retained. */
  readonly device?: string;
  /** Which session's it is: for No Local. */
  readonly clientId?: string;
}

export interface BrokerOptions {
  settings: MqttSettings;
  store: SessionStore;
  standing: (device: string) => Standing | undefined;
  intake: Intake;
  /** Null for a gateway that is alone. */
  neighbours: NeighbourLine | null;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

/** How late a Will or the end of a session may be. */
const sweepMs = 1_000;

const nobody: Taken = { present: false, epoch: 0 };

export class Broker implements Audience, AsyncDisposable {
  readonly #aedes: Aedes;
  readonly #options: BrokerOptions;
  readonly #persistence: BrokerPersistence;
  readonly #listeners = new Listeners();
  readonly #wills: Wills;
  /** The link that speaks for a client id now: an older one that is still leaving has no say. */
  readonly #links = new Map<string, BrokerLink>();
  /** Sessions that are being made, and that are being left. */
  readonly #making = new Set<string>();
  readonly #leaving = new Set<Promise<void>>();
  readonly #cancel: Cancel;
  #sweeping = false;
  #overflowed = 0;

  private constructor(aedes: Aedes, options: BrokerOptions, persistence: BrokerPersistence) {
    this.#aedes = aedes;
    this.#options = options;
    this.#persistence = persistence;
    const { store, neighbours, metrics } = options;
    this.#wills = new Wills({ ...options, publish: (...will) => this.#publishWill(...will) });
    if (neighbours) {
      const { mq } = aedes as unknown as { mq: Emitter };
      new Neighbours(mq, this.#listeners, neighbours, () => metrics.messagesMissedTotal.inc());
    }
    store.index.follow((clientId, filters) => this.#listeners.keep(clientId, filters));
    this.#cancel = options.clock.every(sweepMs, () => void this.#sweep(), 0.1);
  }

  static async open(options: BrokerOptions): Promise<Broker> {
    const { settings, store, standing, metrics, log } = options;
    const mayRetain = (device: string, topic: string) =>
      standing(device)?.rights.mayPublish(topic, 0, true) ?? false;
    const persistence = new BrokerPersistence(store, mayRetain);
    const forwarding: Forwarding = {
      maxQueuedSize: settings.maxQueuedSize,
      missed: () => metrics.messagesMissedTotal.inc(),
    };
    const aedes = await Aedes.createBroker({
      persistence,
      connectTimeout: settings.connectTimeout,
      drainTimeout: settings.drainTimeout,
      // No queue before the subscribers: one that does not read would hold up all others, and aedes' emitter empties a
      // long queue by recursion, which ends the process. What waits for one client is bounded by `maxQueuedSize`.
      concurrency: 0,
      maxTopicLevels: settings.maxTopicLevels,
      maxClientsIdLength: 128,
      // Limits and capabilities are announced by the front.
      maximumPacketSize: 0,
      receiveMaximum: 0,
      topicAliasMaximum: 0,
      sessionExpiryIntervalLimit: Math.round(settings.maxSessionExpiry / 1000),
      preConnect: (client: Client, packet: { will?: unknown }, done: (error: null, go: boolean) => void) => {
        prepareClient(client as LinkedClient);
        packet.will = undefined;
        done(null, client.conn instanceof BrokerLink);
      },
      authenticate: (
        client: Client,
        _user: unknown,
        _password: unknown,
        done: (error: null, go: boolean) => void,
      ) => {
        const linked = client as LinkedClient;
        // A session that goes on and ends with this connection is in the store all the same; and what a Clean Start
        // leaves nothing of is gone already.
        linked.clean = !linked.conn.stored;
        linked._cleanStart = false;
        done(null, true);
      },
      authorizeSubscribe: (
        client: Client | null,
        sub: Subscription,
        done: (error: null, sub: Subscription | null) => void,
      ) => {
        // Asked again when a stored session is restored: rights may have been withdrawn meanwhile.
        const granted = guestOf(client)?.rights.maySubscribe(sub.topic) ?? null;
        if (granted !== null && sub.qos > granted) sub.qos = granted;
        done(null, granted === null ? null : sub);
      },
      authorizePublish: (
        _client: Client | null,
        _packet: AedesPublishPacket,
        done: (error?: Error | null) => void,
      ) => {
        // Devices' publishes are calls of ours, and their Wills the store's.
        done(new Error('nothing is published this way'));
      },
      authorizeForward: (client: Client, packet: AedesPublishPacket) => {
        const guest = guestOf(client);
        return guest && mayForward(client as LinkedClient, guest, packet, forwarding) ? packet : null;
      },
    } as unknown as ConstructorParameters<typeof Aedes>[0]);
    const inner = aedes as unknown as {
      clients: object;
      brokers: object;
      _clearWillInterval: NodeJS.Timeout;
      scheduleSessionExpiry: () => void;
    };
    inner.clients = Object.create(null);
    inner.brokers = Object.create(null);
    inner.scheduleSessionExpiry = () => {};
    clearInterval(inner._clearWillInterval);
    for (const event of ['clientError', 'connectionError'] as const) {
      aedes.on(event, (_client: Client, error: Error) =>
        log.debug({ error: error.message }, 'The broker ended a client.'),
      );
    }
    (aedes as unknown as NodeJS.EventEmitter).on('error', (error: Error) =>
      log.error({ error: error.message }, 'The broker reported an error.'),
    );
    return new Broker(aedes, options, persistence);
  }

  /** Whether something is kept for a client id that is away or here. */
  keeps(clientId: string): boolean {
    return this.#links.has(clientId) || this.#options.store.index.has(clientId);
  }

  /** Takes a session in: replays the CONNECT. Faults `quota-exceeded` when no more sessions can be kept. */
  attach(guest: Guest, connect: Connect): Attachment {
    const { clientId } = guest;
    const keeps = this.keeps(clientId);
    const expiryMs = this.#expiryMs(connect.sessionExpirySeconds);
    this.#checkQuota(clientId, expiryMs);
    const link = new BrokerLink(guest);
    const client = this.#aedes.handle(
      link as unknown as Parameters<Aedes['handle']>[0],
      undefined as never,
    ) as LinkedClient;
    this.#links.set(clientId, link);
    const will = storedWill(connect, expiryMs, guest.protocol);
    let taken = Promise.resolve(nobody);
    if (expiryMs > 0 || will !== null || keeps) taken = this.#take(guest, link, connect, expiryMs, will);
    else link.inject(connect.frame);
    return new Attachment(this.#listeners, link, client, {
      dropWill: () => {
        if (will) this.#leave(taken, ({ epoch }) => this.#options.store.wills.drop(clientId, epoch));
      },
      left: (departure) => this.#left({ guest, link, connect, will, taken }, departure),
    });
  }

  #checkQuota(clientId: string, expiryMs: number): void {
    const { store, settings } = this.#options;
    if (expiryMs === 0 || store.index.has(clientId) || this.#making.has(clientId)) return;
    if (store.index.sessions + this.#making.size >= settings.maxSessions)
      throw new Fault('quota-exceeded', 'No more sessions can be kept for devices that are away.');
    this.#making.add(clientId);
  }

  /** The session is the store's first: what CONNACK promises is on disk. */
  async #take(
    guest: Guest,
    link: BrokerLink,
    { clean, frame }: Connect,
    expiryMs: number,
    will: StoredWill | null,
  ): Promise<Taken> {
    const { clientId, device, entry } = guest;
    const { store, clock } = this.#options;
    const { fingerprint } = entry;
    try {
      const arrival = { clientId, device, fingerprint, clean, expiryMs, will };
      const taken = await store.sessions.open(arrival, clock.now());
      link.present = taken.present;
      link.stored = taken.present || expiryMs > 0;
      if (!link.destroyed) link.inject(frame);
      return taken;
    } catch (thrown) {
      void guest.end(Fault.of(thrown), { silence: false });
      return nobody;
    } finally {
      this.#making.delete(clientId);
    }
  }

  /** Hands a message of a device, already allowed, to whoever subscribes; `done` when it is stored and routed. */
  publish({ device, ...message }: Message, done: (error?: Error | null) => void): void {
    const properties = wireProperties(message.properties);
    this.#persistence.speaking(device ?? '', () =>
      this.#aedes.publish({ cmd: 'publish', dup: false, ...message, properties } as never, done as never),
    );
  }

  wants(topic: string): boolean {
    return this.#listeners.wants(topic);
  }

  deliver(topic: string, payload: Uint8Array, qos: 0 | 1 | 2, contentType: string): void {
    const properties = contentType === '' ? noProperties : { contentType };
    this.publish({ topic, payload: Buffer.from(payload), qos, retain: false, properties }, () => {});
  }

  /** Brings the metrics up to date: counted when they are read. */
  report(metrics: Metrics): void {
    const { index, queue, retained } = this.#options.store;
    metrics.sessionsKept.set(index.sessions);
    metrics.messagesQueued.set(queue.count());
    metrics.messagesRetained.set(retained.count());
    metrics.messagesOverflowedTotal.inc(queue.overflowed - this.#overflowed);
    this.#overflowed = queue.overflowed;
  }

  #publishWill(will: StoredWill, device: string, clientId: string): Promise<void> {
    const { topic, payload, qos, retain, properties } = will;
    const message = { cmd: 'publish', dup: false, topic, payload, qos, retain, clientId, properties };
    return new Promise((resolve, reject) => {
      const done = (error?: Error | null) => (error ? reject(error) : resolve());
      this.#persistence.speaking(device, () => this.#aedes.publish(message as never, done as never));
    });
  }

  #left({ guest, link, connect, will, taken }: Held, { withWill, sessionExpirySeconds }: Departure): void {
    const { clientId } = guest;
    const { store, clock } = this.#options;
    if (this.#links.get(clientId) === link) {
      this.#links.delete(clientId);
      this.#listeners.forget(clientId);
    }
    const expiryMs = this.#expiryMs(sessionExpirySeconds ?? connect.sessionExpirySeconds);
    this.#leave(taken, async ({ epoch }) => {
      const left = store.sessions.left(clientId, epoch, expiryMs, clock.now());
      if (will && withWill) await this.#wills.leave(guest, will, epoch, expiryMs);
      await left;
    });
  }

  /** What is still to be done for a session that has left, in its turn; the store closes after it. */
  #leave(taken: Promise<Taken>, run: (taken: Taken) => Promise<void>): void {
    const leaving = taken
      .then((session) => (session === nobody ? undefined : run(session)))
      .catch(() => {
        // The disk has failed, and said so: to the store the session is still connected, until the next start.
      });
    this.#leaving.add(leaving);
    void leaving.then(() => this.#leaving.delete(leaving));
  }

  /** 3.1.1 knows no expiry, and 5 may ask for none: both are bounded here. */
  #expiryMs(seconds: number): number {
    return Math.min(seconds * 1000, this.#options.settings.maxSessionExpiry);
  }

  async #sweep(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    const { store, clock } = this.#options;
    try {
      await this.#wills.sweep();
      if (store.sessions.hasExpired(clock.now())) await store.sessions.expire(clock.now());
    } catch {
      // The disk, or another process that holds the file for a moment: tried again a second later.
    } finally {
      this.#sweeping = false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    while (this.#leaving.size > 0) await Promise.all(this.#leaving);
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
  }
}

/** A session that is attached. */
interface Held {
  readonly guest: Guest;
  readonly link: BrokerLink;
  readonly connect: Connect;
  readonly will: StoredWill | null;
  readonly taken: Promise<Taken>;
}

const guestOf = (client: Client | null): Guest | undefined => {
  const link = client?.conn as unknown;
  return link instanceof BrokerLink ? (link.guest as Guest) : undefined;
};

function storedWill({ will }: Connect, expiryMs: number, protocol: Protocol): StoredWill | null {
  if (will === null) return null;
  const { topic, payload, qos, retain, properties } = will;
  const delayMs = Math.min((properties.willDelay ?? 0) * 1000, expiryMs); // section 3.1.3.2.2
  return { topic, payload, qos, retain, properties: wireProperties(properties), delayMs, protocol };
}
