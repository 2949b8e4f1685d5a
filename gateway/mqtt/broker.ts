/**
 * The broker behind the fronts: who is attached, what is published and to whom it goes, how sessions begin and end. It
 * brings together aedes, which numbers and stores messages, the exchange, which delivers them, and the store.
 */
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
import { type Aedes, openAedes } from './aedes.ts';
import { Attachment, type Departure } from './attachment.ts';
import { type BrokerGuest, BrokerLink } from './broker-link.ts';
import { BrokerPersistence } from './broker-persistence.ts';
import type { BrokerStore, StoredSubscription } from './broker-store.ts';
import type { Connect } from './connect-packet.ts';
import { Tongue } from './dialect.ts';
import { Exchange } from './exchange.ts';
import { Unreleased } from './inbound-qos2.ts';
import { Listeners } from './listeners.ts';
import { type CarriedPacket, type Emitter, type NeighbourLine, Neighbours } from './neighbours.ts';
import type { Outbound } from './outbound.ts';
import { noProperties, type Properties } from './properties.ts';
import { Shares } from './shares.ts';
import type { SessionStore } from './store/session-store.ts';
import type { Taken } from './store/session-table.ts';
import type { StoredWill } from './store/will-table.ts';
import { StoredQueue } from './stored-queue.ts';
import { StoredSession } from './stored-session.ts';
import type { Subscriber } from './subscriber.ts';
import { shareOf } from './topic.ts';
import { storedWill, Wills } from './wills.ts';
import { toWire } from './wire-properties.ts';

/** A front that may be attached. */
export interface Guest extends BrokerGuest {
  readonly clientId: string;
  readonly device: string;
  readonly entry: DirectoryEntry;
  readonly protocol: Protocol;
  readonly rights: Rights;
  /** Where what it hears goes. */
  readonly outbound: Outbound;
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
  /** Client id of who publishes it: it may not want to hear itself (MQTT 5, section 3.8.3.1). */
  readonly clientId?: string;
  /** Whose it is, when it is to be retained. */
  readonly device?: string;
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
  readonly #exchange: Exchange;
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

  /** QoS 2 that devices who are away have not released. */
  readonly unreleased = new Unreleased((clientId) => this.keeps(clientId));

  private constructor(
    aedes: Aedes,
    options: BrokerOptions,
    persistence: BrokerPersistence,
    exchange: Exchange,
    shares: Shares,
  ) {
    this.#aedes = aedes;
    this.#options = options;
    this.#persistence = persistence;
    this.#exchange = exchange;
    const { store, neighbours, metrics } = options;
    this.#wills = new Wills({ ...options, publish: (...will) => this.#publishWill(...will) });
    if (neighbours) {
      const missed = () => metrics.messagesMissedTotal.inc();
      const others = new Neighbours(exchange as unknown as Emitter, this.#listeners, neighbours, missed);
      shares.elsewhere = (name, packet) => others.hand(name, packet as CarriedPacket);
    }
    store.index.follow((clientId, filters) => {
      this.#listeners.keep(clientId, filters);
      if (filters.length === 0) exchange.forget(clientId);
    });
    // Of several processes each would give a member that is away a message of its own.
    if (!neighbours)
      for (const [clientId, kept] of store.index.subscriptions()) rejoin(shares, clientId, kept);
    this.#cancel = options.clock.every(sweepMs, () => void this.#sweep(), 0.1);
  }

  static async open(options: BrokerOptions): Promise<Broker> {
    const { settings, store, standing, log } = options;
    const mayRetain = (device: string, topic: string) =>
      standing(device)?.rights.mayPublish(topic, 0, true) ?? false;
    const persistence = new BrokerPersistence(store, mayRetain);
    const shares = new Shares(() => persistence as unknown as BrokerStore);
    const exchange = new Exchange(shares);
    const aedes = await openAedes({ settings, persistence, exchange, log });
    return new Broker(aedes, options, persistence, exchange, shares);
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
    this.#aedes.take(link);
    this.#links.set(clientId, link);
    const subscriber = this.#exchange.enter(clientId, guest.outbound, expiryMs > 0);
    const tongue = Tongue.of(this.#options.settings.topics, guest.entry.fleet, guest.device);
    const will = storedWill(connect, expiryMs, guest.protocol, tongue);
    let taken = Promise.resolve(nobody);
    const held = (): Held => ({ guest, link, connect, subscriber, will, taken });
    const attachment = new Attachment({
      newName: () => this.#aedes.newName(),
      listeners: this.#listeners,
      exchange: this.#exchange,
      store: this.#store,
      subscriber,
      link,
      events: {
        dropWill: () => {
          if (will) this.#leave(taken, ({ epoch }) => this.#options.store.wills.drop(clientId, epoch));
        },
        left: (departure) => this.#left(held(), departure),
      },
    });
    link.restored = (stored: StoredSubscription) =>
      attachment.restore(stored, guest.rights, tongue?.filterOf(stored.topic));
    if (expiryMs > 0 || will !== null || keeps) taken = this.#take(held(), expiryMs);
    else link.inject(connect.frame);
    return attachment;
  }

  get #store(): BrokerStore {
    return this.#persistence as unknown as BrokerStore;
  }

  #checkQuota(clientId: string, expiryMs: number): void {
    const { store, settings } = this.#options;
    if (expiryMs === 0 || store.index.has(clientId) || this.#making.has(clientId)) return;
    if (store.index.sessions + this.#making.size >= settings.maxSessions)
      throw new Fault('quota-exceeded', 'No more sessions can be kept for devices that are away.');
    this.#making.add(clientId);
  }

  /** The session is the store's first: what CONNACK promises is on disk. */
  async #take({ guest, link, connect, subscriber, will }: Held, expiryMs: number): Promise<Taken> {
    const { clientId, device, entry } = guest;
    const { store, clock } = this.#options;
    const { clean, frame } = connect;
    const { fingerprint } = entry;
    try {
      const arrival = { clientId, device, fingerprint, clean, expiryMs, will };
      const taken = await store.sessions.open(arrival, clock.now());
      link.present = taken.present;
      subscriber.stored = taken.present || expiryMs > 0;
      if (link.destroyed) return taken;
      if (subscriber.stored) {
        const queue = new StoredQueue(this.#store, clientId);
        const session = new StoredSession(queue, (message) => subscriber.grantOf(message), !taken.present);
        guest.outbound.resume(session);
      }
      link.inject(frame);
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
    const properties = toWire(message.properties);
    this.#persistence.speaking(device ?? '', () =>
      this.#aedes.publish({ dup: false, ...message, properties }, done),
    );
  }

  wants(topic: string): boolean {
    return this.#listeners.wants(topic);
  }

  deliver(topic: string, payload: Uint8Array, qos: 0 | 1 | 2, contentType: string, clientId?: string): void {
    const properties = contentType === '' ? noProperties : { contentType };
    this.publish(
      { topic, payload: Buffer.from(payload), qos, retain: false, properties, clientId },
      () => {},
    );
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
    const message = { dup: false, topic, payload, qos, retain, clientId, properties };
    return new Promise((resolve, reject) => {
      const done = (error?: Error | null) => (error ? reject(error) : resolve());
      this.#persistence.speaking(device, () => this.#aedes.publish(message, done));
    });
  }

  #left(
    { guest, link, connect, subscriber, will, taken }: Held,
    { withWill, sessionExpirySeconds }: Departure,
  ): void {
    const { clientId } = guest;
    const { store, clock } = this.#options;
    if (this.#links.get(clientId) === link) {
      this.#links.delete(clientId);
      this.#listeners.forget(clientId);
    }
    const expiryMs = this.#expiryMs(sessionExpirySeconds ?? connect.sessionExpirySeconds);
    this.#exchange.leave(subscriber, expiryMs > 0);
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
    await this.#aedes.close();
  }
}

/** A session that is attached. */
interface Held {
  readonly guest: Guest;
  readonly link: BrokerLink;
  readonly connect: Connect;
  readonly subscriber: Subscriber;
  readonly will: StoredWill | null;
  readonly taken: Promise<Taken>;
}

/** The shares of a session that is kept and away. */
function rejoin(shares: Shares, clientId: string, kept: readonly StoredSubscription[]): void {
  for (const { topic, qos, nl, rap, subscriptionIdentifier } of kept) {
    if (shareOf(topic) === null || qos === 0) continue;
    const flags = { noLocal: nl ?? false, retainAsPublished: rap ?? false };
    shares.join(clientId, null, { filter: topic, qos, ...flags, identifier: subscriptionIdentifier });
  }
}
