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
import { Listeners } from './listeners.ts';
import { type Emitter, type NeighbourLine, Neighbours } from './neighbours.ts';
import { firstDispatchId } from './outbound.ts';
import type { Properties } from './properties.ts';
import { type MayRetain, Retained } from './retained.ts';

/** A front that may be attached. */
export interface Guest extends BrokerGuest {
  readonly clientId: string;
  readonly device: string;
  readonly rights: Rights;
  /** The client's own Maximum Packet Size. */
  readonly maximumPacketSize: number;
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
  /** Whose it is, when it is to be retained. */
  readonly device?: string;
}

const sweepMs = 60_000;
/** Bytes of a PUBLISH besides topic, payload and text properties, generously. */
const publishOverhead = 64;

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
  readonly #cancel: Cancel;

  private constructor(aedes: Aedes, settings: MqttSettings, clock: Clock, retained: Retained) {
    this.#aedes = aedes;
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
    const aedes = await Aedes.createBroker({
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
        keepIdsApart(linked);
        done(null, linked.conn instanceof BrokerLink);
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
        client: Client | null,
        packet: AedesPublishPacket,
        done: (error?: Error | null) => void,
      ) => {
        // Devices' publishes are calls of ours: what comes this way is a Will.
        const guest = guestOf(client);
        if (!guest) return done(new Error('a Will of nobody'));
        const { topic, qos, retain } = packet;
        if (!guest.rights.mayPublish(topic, qos, retain))
          return done(new Error('a Will that is no longer allowed'));
        if (retain) retained.left(topic, guest.device, packet.payload as Buffer);
        guest.will({ topic, payload: Buffer.from(packet.payload), qos });
        done(null);
      },
      authorizeForward: (client: Client, packet: AedesPublishPacket) => {
        const guest = guestOf(client);
        if (!guest?.rights.mayReceive(packet.topic)) return null;
        if (packet.retain && !retained.mayDeliver(packet.topic)) return null;
        const { conn, subscriptions } = client as LinkedClient;
        if (conn.writableLength > settings.maxQueuedSize) {
          // At most once may be missed. At least once may not: the session goes on when the client comes back.
          const atMostOnce = packet.qos === 0 || Object.values(subscriptions).every(({ qos }) => qos === 0);
          if (atMostOnce) {
            metrics.messagesMissedTotal.inc();
            return null;
          }
          void guest.end(overQueue(settings.maxQueuedSize), { silence: false });
        }
        // A packet that the client said it cannot take is not sent [MQTT-3.1.2-24].
        const size = packet.topic.length + packet.payload.length + publishOverhead;
        return size <= guest.maximumPacketSize ? packet : null;
      },
    } as unknown as ConstructorParameters<typeof Aedes>[0]);
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
    const broker = new Broker(aedes, settings, clock, retained);
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
    if (connect.clean) this.#forget(clientId);
    if (keep) this.#kept.set(clientId, Number.POSITIVE_INFINITY);
    const link = new BrokerLink(guest);
    const client = this.#aedes.handle(
      link as unknown as Parameters<Aedes['handle']>[0],
      undefined as never,
    ) as LinkedClient;
    this.#links.set(clientId, link);
    link.inject(connect.frame);
    return new Attachment(this.#aedes, this.#listeners, link, client, (kept) =>
      this.#left(link, connect, kept),
    );
  }

  /** Hands a message of a device, already allowed, to whoever subscribes; `done` when it is stored and routed. */
  publish({ device, ...message }: Message, done: (error?: Error | null) => void): void {
    if (message.retain && device !== undefined) this.#retained.left(message.topic, device, message.payload);
    this.#aedes.publish(
      { cmd: 'publish', dup: false, ...message, properties: wireProperties(message.properties) } as never,
      done as never,
    );
  }

  wants(topic: string): boolean {
    return this.#listeners.wants(topic);
  }

  deliver(topic: string, payload: Uint8Array, qos: 0 | 1 | 2, contentType: string): void {
    const properties = contentType === '' ? {} : { contentType };
    this.publish({ topic, payload: Buffer.from(payload), qos, retain: false, properties }, () => {});
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

const overQueue = (limit: number) =>
  new Fault('quota-exceeded', `More than ${limit} bytes wait to be read by this client.`);

/** The broker's packet ids stay below those of what comes from beside it. */
function keepIdsApart(client: LinkedClient): void {
  let next = 1;
  Object.defineProperty(client, '_nextId', {
    get: () => next,
    set: (value: number) => {
      next = value < firstDispatchId ? value : 1;
    },
  });
}

const guestOf = (client: Client | null): Guest | undefined => {
  const link = client?.conn as unknown;
  return link instanceof BrokerLink ? (link.guest as Guest) : undefined;
};

/** Our names of properties as the broker's packet library has them. */
function wireProperties(properties: Properties): Record<string, unknown> | undefined {
  const wire: Record<string, unknown> = {};
  if (properties.payloadFormat !== undefined) wire.payloadFormatIndicator = properties.payloadFormat === 1;
  if (properties.messageExpiry !== undefined) wire.messageExpiryInterval = properties.messageExpiry;
  if (properties.contentType !== undefined) wire.contentType = properties.contentType;
  if (properties.responseTopic !== undefined) wire.responseTopic = properties.responseTopic;
  if (properties.correlationData !== undefined) wire.correlationData = properties.correlationData;
  if (properties.userProperty) {
    const users: Record<string, string[]> = Object.create(null);
    for (const [name, value] of properties.userProperty) users[name] = [...(users[name] ?? []), value];
    wire.userProperties = users;
  }
  return Object.keys(wire).length === 0 ? undefined : wire;
}
