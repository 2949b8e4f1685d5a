/**
 * aedes, behind the front: sessions, subscriptions, retained messages, Wills and queues. The only file that imports it.
 * It sees CONNECTs of admitted devices and acknowledgements of what it sent; every other packet is read by the front and
 * reaches it as a call.
 */
import { Aedes, type AedesPublishPacket, type Client, type Subscription } from 'aedes';
import type { Cancel, Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { Rights } from '../sessions/rights.ts';
import type { MqttSettings } from '../settings.ts';
import type { Audience } from '../telemetry/audience.ts';
import { Attachment, type LinkedClient } from './attachment.ts';
import { type BrokerGuest, BrokerLink } from './broker-link.ts';
import { Tongue } from './dialect.ts';
import { Exchange } from './exchange.ts';
import { Unreleased } from './inbound-qos2.ts';
import { Listeners } from './listeners.ts';
import { type BrokerStore, mendStore } from './mended-store.ts';
import { type Emitter, type NeighbourLine, Neighbours } from './neighbours.ts';
import type { Outbound } from './outbound.ts';
import type { Properties } from './properties.ts';
import { type MayRetain, Retained } from './retained.ts';
import { Shares } from './shares.ts';
import { StoredQueue } from './stored-queue.ts';
import { StoredSession } from './stored-session.ts';
import { toWire } from './wire-properties.ts';

/** A front that may be attached. */
export interface Guest extends BrokerGuest {
  readonly clientId: string;
  readonly device: string;
  readonly entry: { readonly fleet: string };
  readonly rights: Rights;
  /** Where what it hears goes. */
  readonly outbound: Outbound;
  end(fault: Fault, options: { silence: boolean }): Promise<void>;
  /** The broker publishes its Will: true when the lane has taken it and no subscriber is to be asked. */
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

const sweepMs = 60_000;

export class Broker implements Audience, AsyncDisposable {
  readonly #aedes: Aedes;
  readonly #settings: MqttSettings;
  readonly #listeners = new Listeners();
  readonly #clock: Clock;
  readonly #retained: Retained;
  /** Sessions that outlive their connection, and until when; endless while connected. */
  readonly #kept = new Map<string, number>();
  /** The link that speaks for a client id now: an older one that is still leaving has no say. */
  readonly #links = new Map<string, BrokerLink>();
  readonly #exchange: Exchange;
  readonly #cancel: Cancel;

  /** QoS 2 that devices who are away have not released. */
  readonly unreleased = new Unreleased((clientId) => this.keeps(clientId));

  private constructor(
    aedes: Aedes,
    settings: MqttSettings,
    clock: Clock,
    retained: Retained,
    exchange: Exchange,
  ) {
    this.#aedes = aedes;
    this.#exchange = exchange;
    this.#retained = retained;
    this.#settings = settings;
    this.#clock = clock;
    this.#cancel = clock.every(sweepMs, () => this.#expireSessions(), 0.1);
  }

  static async open({
    settings,
    clock,
    log,
    metrics,
    mayRetain,
    neighbours,
  }: {
    settings: MqttSettings;
    mayRetain: MayRetain;
    /** Null for a gateway that is alone. */
    neighbours: NeighbourLine | null;
    clock: Clock;
    log: Logger;
    metrics: Metrics;
  }): Promise<Broker> {
    const retained = new Retained(mayRetain);
    const tongueOf = ({ entry, device }: Guest) => Tongue.of(settings.topics, entry.fleet, device);
    const exchange = new Exchange(new Shares(() => storeOf(aedes)));
    const aedes: Aedes = await Aedes.createBroker({
      mq: exchange,
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
      pendingSessionsLimit: settings.maxSessions,
      preConnect: (client: Client, _packet: unknown, done: (error: null, go: boolean) => void) => {
        const linked = client as LinkedClient;
        // 2.0.0-beta.1 looks names up in plain objects: a filter or client id `constructor` would end the process.
        linked.subscriptions = Object.create(null);
        linked.duplicates = Object.create(null);
        done(null, linked.conn instanceof BrokerLink);
      },
      authorizeSubscribe: (
        client: Client | null,
        sub: Subscription,
        done: (error: null, sub: Subscription | null) => void,
      ) => {
        // Asked when a stored session is restored: rights may have been withdrawn meanwhile. The broker itself subscribes
        // to nothing.
        linkOf(client)?.restored?.(sub as never);
        done(null, null);
      },
      authorizePublish: (
        client: Client | null,
        packet: AedesPublishPacket,
        done: (error?: Error | null) => void,
      ) => {
        // Devices' publishes are calls of ours: what comes this way is a Will.
        const guest = guestOf(client);
        if (!guest) return done(new Error('a Will of nobody'));
        packet.topic = tongueOf(guest)?.meaningOf(packet.topic)?.topic ?? packet.topic;
        const { topic, qos, retain } = packet;
        if (!guest.rights.mayPublish(topic, qos, retain))
          return done(new Error('a Will that is no longer allowed'));
        if (retain) retained.left(topic, guest.device, packet.payload as Buffer);
        guest.will({ topic, payload: Buffer.from(packet.payload), qos });
        done(null);
      },
    } as unknown as ConstructorParameters<typeof Aedes>[0]);
    mendStore(storeOf(aedes));
    const names = aedes as unknown as { clients: object; brokers: object };
    names.clients = Object.create(null);
    names.brokers = Object.create(null);
    for (const event of ['clientError', 'connectionError'] as const) {
      aedes.on(event, (_client: Client, error: Error) =>
        log.debug({ error: error.message }, 'The broker ended a client.'),
      );
    }
    (aedes as unknown as NodeJS.EventEmitter).on('error', (error: Error) =>
      log.error({ error: error.message }, 'The broker reported an error.'),
    );
    const broker = new Broker(aedes, settings, clock, retained, exchange);
    if (neighbours) {
      const { mq } = aedes as unknown as { mq: Emitter };
      new Neighbours(mq, broker.#listeners, neighbours, () => metrics.messagesMissedTotal.inc());
    }
    (aedes as unknown as NodeJS.EventEmitter).on('sessionExpired', (client: Client) =>
      broker.#forget(client.id),
    );
    return broker;
  }

  /** Whether something is kept for a client id that is away or here. */
  keeps(clientId: string): boolean {
    return this.#kept.has(clientId);
  }

  /** Takes a session in: replays the CONNECT. Faults `quota-exceeded` when no more sessions can be kept. */
  attach(guest: Guest, connect: { frame: Buffer; clean: boolean; sessionExpirySeconds: number }): Attachment {
    const { clientId } = guest;
    const keep = connect.sessionExpirySeconds > 0;
    if (keep && !this.#kept.has(clientId) && this.#kept.size >= this.#settings.maxSessions) {
      throw new Fault('quota-exceeded', 'No more sessions can be kept for devices that are away.');
    }
    const present = !connect.clean && this.#kept.has(clientId);
    const stored = keep || present;
    const subscriber = this.#exchange.enter(clientId, guest.outbound, stored);
    if (stored) {
      const queue = new StoredQueue(storeOf(this.#aedes), clientId);
      const isNew = !present;
      guest.outbound.resume(new StoredSession(queue, (message) => subscriber.grantOf(message), isNew));
    }
    if (connect.clean) this.#forget(clientId);
    if (keep) this.#kept.set(clientId, Number.POSITIVE_INFINITY);
    const link = new BrokerLink(guest, present);
    const client = this.#aedes.handle(
      link as unknown as Parameters<Aedes['handle']>[0],
      undefined as never,
    ) as LinkedClient;
    this.#links.set(clientId, link);
    link.inject(connect.frame);
    const attachment = new Attachment({
      aedes: this.#aedes,
      listeners: this.#listeners,
      exchange: this.#exchange,
      store: storeOf(this.#aedes),
      retained: this.#retained,
      subscriber,
      link,
      client,
      left: (kept) => this.#left(link, connect, kept),
    });
    const tongue = Tongue.of(this.#settings.topics, guest.entry.fleet, guest.device);
    link.restored = (stored) => attachment.restore(stored, guest.rights, tongue?.filterOf(stored.topic));
    return attachment;
  }

  /** Hands a message of a device, already allowed, to whoever subscribes; `done` when it is stored and routed. */
  publish({ device, ...message }: Message, done: (error?: Error | null) => void): void {
    if (message.retain && device !== undefined) this.#retained.left(message.topic, device, message.payload);
    this.#aedes.publish(
      { cmd: 'publish', dup: false, ...message, properties: toWire(message.properties) } as never,
      done as never,
    );
  }

  wants(topic: string): boolean {
    return this.#listeners.wants(topic);
  }

  deliver(topic: string, payload: Uint8Array, qos: 0 | 1 | 2, contentType: string, clientId?: string): void {
    const properties = contentType === '' ? {} : { contentType };
    this.publish(
      { topic, payload: Buffer.from(payload), qos, retain: false, properties, clientId },
      () => {},
    );
  }

  #left(link: BrokerLink, connect: { sessionExpirySeconds: number }, kept: boolean): void {
    const { clientId } = link.guest as Guest;
    if (this.#links.get(clientId) !== link) return;
    this.#links.delete(clientId);
    if (!kept || !this.#kept.has(clientId)) return this.#forget(clientId);
    const expiryMs = Math.min(connect.sessionExpirySeconds * 1000, this.#settings.maxSessionExpiry);
    this.#kept.set(clientId, this.#clock.now() + expiryMs);
  }

  #forget(clientId: string): void {
    this.#kept.delete(clientId);
    this.#listeners.forget(clientId);
    this.#exchange.forget(clientId);
  }

  /** 3.1.1 knows no expiry: what is kept for it is bounded here. */
  #expireSessions(): void {
    const nowMs = this.#clock.now();
    for (const [clientId, untilMs] of this.#kept) {
      if (untilMs > nowMs) continue;
      this.#forget(clientId);
      const persistence = (
        this.#aedes as unknown as {
          persistence: { cleanSubscriptions(of: { id: string }): Promise<unknown> };
        }
      ).persistence;
      persistence.cleanSubscriptions({ id: clientId }).catch(() => {
        // The memory persistence cannot fail; one that can will be asked again at the next connect.
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
  }
}

const linkOf = (client: Client | null): BrokerLink | undefined => {
  const link = client?.conn as unknown;
  return link instanceof BrokerLink ? link : undefined;
};

const guestOf = (client: Client | null): Guest | undefined => linkOf(client)?.guest as Guest | undefined;

const storeOf = (aedes: Aedes): BrokerStore => (aedes as unknown as { persistence: BrokerStore }).persistence;
