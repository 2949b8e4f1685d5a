/**
 * The broker's store, put right where the broker (aedes 2.0.0-beta.1) asks it for too much. Delivery to clients is ours:
 * the broker itself sends nothing of a stored queue, and puts a message into it once.
 */
import { Readable } from 'node:stream';
import type { BrokerPacket } from './parcel.ts';
import type { SessionStore } from './stored-queue.ts';

export interface StoredSubscription {
  readonly topic: string;
  readonly qos: number;
  readonly rh: number;
  readonly rap: boolean;
  readonly nl: boolean;
  readonly subscriptionIdentifier?: number;
}

/** What we use of the broker's store besides. */
export interface BrokerStore extends SessionStore {
  outgoingEnqueueCombi(
    subscriptions: readonly { clientId: string; nl?: boolean }[],
    packet: BrokerPacket,
  ): Promise<unknown>;
  addSubscriptions(client: { id: string }, subscriptions: readonly StoredSubscription[]): Promise<unknown>;
  removeSubscriptions(client: { id: string }, filters: readonly string[]): Promise<unknown>;
  createRetainedStream(filter: string): AsyncIterable<BrokerPacket>;
}

/** Changes the store in place. */
export function mendStore(store: BrokerStore): void {
  const stream = store.outgoingStream.bind(store);
  store.outgoingStream = (client: { id: string; connecting?: boolean; _cleanStart?: boolean }) =>
    // The broker would send what is stored by itself, without regard to what the client takes. What a new session is not
    // to have it does take out.
    client.connecting === true && client._cleanStart === false ? Readable.from([]) : stream(client);

  const enqueue = store.outgoingEnqueueCombi.bind(store);
  store.outgoingEnqueueCombi = (subscriptions, packet) => {
    // Once for every session, however many of its subscriptions match; and not what it does not want to hear of itself.
    const clients = new Map<string, { clientId: string; nl?: boolean }>();
    for (const subscription of subscriptions) {
      const { clientId, nl } = subscription;
      if (!(nl && clientId === packet.clientId)) clients.set(clientId, subscription);
    }
    return clients.size === 0 ? Promise.resolve() : enqueue([...clients.values()], packet);
  };
}
