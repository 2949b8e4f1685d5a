/**
 * aedes, fenced in; the only file that imports it. It sees the CONNECTs of admitted devices, numbers what is published and
 * has it stored. Everything else of a broker is done elsewhere, and it is kept from doing it a second time.
 */
import { type AedesPublishPacket, type Client, Aedes as Inner, type Subscription } from 'aedes';
import type { Logger } from '#common/log.ts';
import type { MqttSettings } from '../settings.ts';
import { BrokerLink } from './broker-link.ts';
import type { BrokerPersistence } from './broker-persistence.ts';
import type { Exchange } from './exchange.ts';

export interface AedesParts {
  settings: MqttSettings;
  persistence: BrokerPersistence;
  exchange: Exchange;
  log: Logger;
}

/** What the broker uses of it. */
export interface Aedes {
  /** A session whose CONNECT comes by the link. */
  take(link: BrokerLink): void;
  /** `done` when it is stored and handed to the exchange. */
  publish(packet: object, done: (error?: Error | null) => void): void;
  /** A name for a message that it has not published. */
  newName(): { brokerId: string; brokerCounter: number };
  close(): Promise<void>;
}

/** A client with what we reach into. */
type LinkedClient = Client & {
  conn: BrokerLink;
  subscriptions: Record<string, { qos: number }>;
  duplicates: object;
};

export async function openAedes({ settings, persistence, exchange, log }: AedesParts): Promise<Aedes> {
  const aedes = await Inner.createBroker({
    persistence,
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
    preConnect: (client: Client, packet: { will?: unknown }, done: (error: null, go: boolean) => void) => {
      const linked = client as LinkedClient;
      // 2.0.0-beta.1 looks names up in plain objects: a filter or client id `constructor` would end the process.
      linked.subscriptions = Object.create(null);
      linked.duplicates = Object.create(null);
      packet.will = undefined;
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
      _client: Client | null,
      _packet: AedesPublishPacket,
      done: (error?: Error | null) => void,
    ) => {
      // Devices' publishes are calls of ours, and their Wills the store's.
      done(new Error('nothing is published this way'));
    },
  } as unknown as ConstructorParameters<typeof Inner>[0]);
  const inner = aedes as unknown as {
    counter: number;
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
  return {
    take: (link) => void aedes.handle(link as unknown as Parameters<Inner['handle']>[0], undefined as never),
    publish: (packet, done) => aedes.publish({ cmd: 'publish', ...packet } as never, done as never),
    newName: () => ({ brokerId: aedes.id, brokerCounter: ++inner.counter }),
    close: () => new Promise<void>((resolve) => aedes.close(() => resolve())),
  };
}

const linkOf = (client: Client | null): BrokerLink | undefined => {
  const link = client?.conn as unknown;
  return link instanceof BrokerLink ? link : undefined;
};
