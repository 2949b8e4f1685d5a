/** The front's hold on its session in the broker: what a device asks of it, as calls. */
import type { Rights } from '../sessions/rights.ts';
import type { BrokerLink } from './broker-link.ts';
import type { BrokerStore, StoredSubscription } from './broker-store.ts';
import type { Exchange } from './exchange.ts';
import type { Listeners } from './listeners.ts';
import { deliverRetained, type RetainedParts } from './retained-delivery.ts';
import type { AskedSubscription } from './subscribe-packet.ts';
import type { Subscriber, Subscription } from './subscriber.ts';
import { shareOf } from './topic.ts';

export interface AttachmentParts {
  /** A name for one more message of this broker. */
  readonly newName: RetainedParts['newName'];
  readonly listeners: Listeners;
  readonly exchange: Exchange;
  readonly store: BrokerStore;
  readonly subscriber: Subscriber;
  readonly link: BrokerLink;
  readonly events: AttachmentEvents;
}

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
  /** The connection is over. */
  left(departure: Departure): void;
}

/** The front's hold on its session in the broker. */
export class Attachment {
  readonly #parts: AttachmentParts;
  readonly #departure: Departure = { withWill: true, sessionExpirySeconds: undefined };
  #over = false;

  constructor(parts: AttachmentParts) {
    this.#parts = parts;
  }

  /** Filters of the session that are in force, restored ones included. */
  get filters(): string[] {
    return [...this.#parts.subscriber.subscriptions.keys()];
  }

  /** A stored subscription is heard again, as far as the session may hear it now: it, or the filter of ours that it means. */
  restore(stored: StoredSubscription, rights: Rights, meant = stored.topic): void {
    const { subscriber, exchange, listeners } = this.#parts;
    const { topic, qos, nl, rap, subscriptionIdentifier } = stored;
    const most = rights.maySubscribe(meant);
    if (most === null) return;
    listeners.add(subscriber.clientId, topic);
    void exchange.subscribe(subscriber, {
      filter: topic,
      qos: Math.min(qos, most) as 0 | 1 | 2,
      noLocal: nl ?? false,
      retainAsPublished: rap ?? false,
      identifier: subscriptionIdentifier,
    });
  }

  qosOf(filter: string): 0 | 1 | 2 | undefined {
    return this.#parts.subscriber.subscriptions.get(filter)?.qos;
  }

  identifierOf(filter: string): number | undefined {
    return this.#parts.subscriber.subscriptions.get(filter)?.identifier;
  }

  /** Subscribes to what was granted; `done` when it is in force. What is retained is sent after that. */
  subscribe(
    granted: readonly AskedSubscription[],
    subscriptionIdentifier: number | undefined,
    done: (error?: Error | null) => void,
  ): void {
    const { subscriber, exchange, listeners, store } = this.#parts;
    const wanted: Subscription[] = [];
    const known: Promise<unknown>[] = [];
    for (const { filter, qos, noLocal, retainAsPublished, retainHandling } of granted) {
      const subscription = { filter, qos, noLocal, retainAsPublished, identifier: subscriptionIdentifier };
      listeners.add(subscriber.clientId, filter);
      const isNew = !subscriber.subscriptions.has(filter);
      known.push(exchange.subscribe(subscriber, subscription));
      // [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]; never for a share (section 4.8.2).
      const wants = retainHandling === 0 || (retainHandling === 1 && isNew);
      if (wants && shareOf(filter) === null) wanted.push(subscription);
    }
    if (subscriber.stored) {
      const stored = granted.map(storedOf(subscriptionIdentifier));
      known.push(store.addSubscriptions({ id: subscriber.clientId }, stored));
    }
    Promise.all(known).then(
      () => {
        done();
        void this.#deliverRetained(wanted);
      },
      (error: Error) => done(error),
    );
  }

  async #deliverRetained(wanted: readonly Subscription[]): Promise<void> {
    const { subscriber, link } = this.#parts;
    try {
      for (const subscription of wanted) await deliverRetained(subscriber, subscription, this.#parts);
    } catch (error) {
      link.destroy(error as Error);
    }
  }

  /** Gives up subscriptions; `done` with a reason code for each: 0, or 0x11 when there was none (section 3.11.3). */
  unsubscribe(
    filters: readonly string[],
    done: (error: Error | null, codes: readonly number[]) => void,
  ): void {
    const { subscriber, exchange, listeners, store } = this.#parts;
    const codes = filters.map((filter) => {
      listeners.remove(subscriber.clientId, filter);
      return exchange.unsubscribe(subscriber, filter) ? 0 : 0x11;
    });
    const removed = subscriber.stored
      ? store.removeSubscriptions({ id: subscriber.clientId }, filters)
      : Promise.resolve();
    removed.then(
      () => done(null, codes),
      (error: Error) => done(error, codes),
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
    this.#parts.events.dropWill();
  }

  /** The connection is over. */
  leave(): void {
    if (this.#over) return;
    this.#over = true;
    const { link, events } = this.#parts;
    link.destroy();
    events.left(this.#departure);
  }
}

/** A subscription as the broker's store has it. */
const storedOf =
  (subscriptionIdentifier: number | undefined) =>
  ({ filter, qos, noLocal, retainAsPublished, retainHandling }: AskedSubscription): StoredSubscription => ({
    topic: filter,
    qos,
    rh: retainHandling,
    rap: retainAsPublished,
    nl: noLocal,
    ...(subscriptionIdentifier === undefined ? {} : { subscriptionIdentifier }),
  });
