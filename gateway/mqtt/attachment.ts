/** The front's hold on its session in the broker: what a device asks of it, as calls. */
import type { Aedes, Client } from 'aedes';
import type { BrokerLink } from './broker-link.ts';
import type { Listeners } from './listeners.ts';
import type { AskedSubscription } from './subscribe-packet.ts';

/** A client of aedes with what we reach into. */
export type LinkedClient = Client & {
  conn: BrokerLink;
  will: unknown;
  _will: unknown;
  subscriptions: Record<string, { qos: number }>;
  duplicates: object;
};

/** The front's hold on its session in the broker. */
export class Attachment {
  readonly #aedes: Aedes;
  readonly #listeners: Listeners;
  readonly #link: BrokerLink;
  readonly #client: LinkedClient;
  readonly #left: (kept: boolean) => void;
  #over = false;

  constructor(
    aedes: Aedes,
    listeners: Listeners,
    link: BrokerLink,
    client: LinkedClient,
    left: (kept: boolean) => void,
  ) {
    this.#aedes = aedes;
    this.#listeners = listeners;
    this.#link = link;
    this.#client = client;
    this.#left = left;
  }

  /** Filters of the session that are in force, restored ones included. */
  get filters(): string[] {
    return Object.keys(this.#client.subscriptions);
  }

  qosOf(filter: string): 0 | 1 | 2 | undefined {
    return this.#client.subscriptions[filter]?.qos as 0 | 1 | 2 | undefined;
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
    this.#client.unsubscribe(
      { cmd: 'unsubscribe', unsubscriptions: filters, messageId } as never,
      done as never,
    );
  }

  /** The device said goodbye: its Will is dropped unless it asks for it (MQTT 5, section 3.14.2.1). */
  disconnected({
    withWill,
    sessionExpirySeconds,
  }: {
    withWill: boolean;
    sessionExpirySeconds: number | undefined;
  }): void {
    const client = this.#client as unknown as {
      _disconnected: boolean;
      sessionExpiryInterval: number;
      clean: boolean;
    };
    client._disconnected = !withWill;
    if (sessionExpirySeconds === undefined) return;
    client.sessionExpiryInterval = Math.min(client.sessionExpiryInterval, sessionExpirySeconds);
    client.clean = client.sessionExpiryInterval === 0;
  }

  /** No Will: neither now nor after a delay. */
  silence(): void {
    this.#client.will = null;
    this.#client._will = null;
    const { id } = this.#client;
    const persistence = (this.#aedes as unknown as { persistence: { delWill(of: object): Promise<unknown> } })
      .persistence;
    persistence.delWill({ id, brokerId: this.#aedes.id }).catch(() => {
      // There was none, or the store is gone with the process.
    });
  }

  /** The connection is over. `kept` says whether the session may outlive it. */
  leave(kept: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#link.destroy();
    this.#left(kept);
  }
}
