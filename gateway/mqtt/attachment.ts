/** The front's hold on its session in the broker: what a device asks of it, as calls. */
import type { Client } from 'aedes';
import type { BrokerLink } from './broker-link.ts';
import type { Delivery } from './delivery.ts';
import type { Listeners } from './listeners.ts';
import type { AskedSubscription } from './subscribe-packet.ts';

/** A client of aedes with what we reach into. */
export type LinkedClient = Client & {
  conn: BrokerLink;
  subscriptions: Record<string, { qos: number }>;
  duplicates: object;
  delivery: Delivery;
  deliver0: (packet: { qos: number; topic: string }, done: () => void) => void;
  _cleanStart: boolean;
};

/** How a session has left. */
export interface Departure {
  /** Whether its Will may leave. */
  withWill: boolean;
  /** Session expiry of its DISCONNECT, when it gave one. */
  sessionExpirySeconds: number | undefined;
}

/** Told to the broker. */
export interface AttachmentEvents {
  /** Its Will is not to be published, whatever comes. */
  dropWill(): void;
  left(departure: Departure): void;
}

/** The front's hold on its session in the broker. */
export class Attachment {
  readonly #listeners: Listeners;
  readonly #link: BrokerLink;
  readonly #client: LinkedClient;
  readonly #on: AttachmentEvents;
  readonly #departure: Departure = { withWill: true, sessionExpirySeconds: undefined };
  #over = false;

  constructor(listeners: Listeners, link: BrokerLink, client: LinkedClient, on: AttachmentEvents) {
    this.#listeners = listeners;
    this.#link = link;
    this.#client = client;
    this.#on = on;
  }

  /** Filters of the session that are in force, restored ones included. */
  get filters(): string[] {
    return Object.keys(this.#client.subscriptions);
  }

  /** A stored session is back: what it had subscribed to is heard again. */
  restored(): void {
    for (const filter of this.filters) this.#listeners.add(this.#client.id, filter);
  }

  /** An acknowledgement or a DISCONNECT of the device, as it is. */
  inject(frame: Buffer): void {
    this.#link.inject(frame);
  }

  /** Subscribes to what was granted; `done` when it is in force. */
  subscribe(
    granted: readonly AskedSubscription[],
    subscriptionIdentifier: number | undefined,
    done: (error?: Error | null) => void,
  ): void {
    const subscriptions = granted.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
      topic: filter,
      qos,
      nl: noLocal,
      rap: retainAsPublished,
      rh: retainHandling,
    }));
    for (const { filter } of granted) this.#listeners.add(this.#client.id, filter);
    const properties = subscriptionIdentifier === undefined ? undefined : { subscriptionIdentifier };
    this.#client.subscribe({ subscriptions, properties } as never, done as never);
  }

  /** The broker answers with the UNSUBACK itself. */
  unsubscribe(filters: readonly string[], messageId: number, done: (error?: Error | null) => void): void {
    for (const filter of filters) this.#listeners.remove(this.#client.id, filter);
    const finish = (error?: Error | null) => {
      // It is not told that it hears no more what it will hear again: the connection ends.
      if (error) this.#link.destroy();
      done(error);
    };
    this.#client.unsubscribe(
      { cmd: 'unsubscribe', unsubscriptions: filters, messageId } as never,
      finish as never,
    );
  }

  /** The device said goodbye: its Will is dropped unless it asks for it (MQTT 5, section 3.14.2.1). */
  disconnected({ withWill, sessionExpirySeconds }: Departure): void {
    this.#departure.sessionExpirySeconds = sessionExpirySeconds;
    if (!withWill) this.silence();
  }

  /** No Will: neither now nor after a delay. */
  silence(): void {
    if (!this.#departure.withWill) return;
    this.#departure.withWill = false;
    this.#on.dropWill();
  }

  /** The connection is over. */
  leave(): void {
    if (this.#over) return;
    this.#over = true;
    this.#link.destroy();
    this.#on.left(this.#departure);
  }
}
