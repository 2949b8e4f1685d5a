/** What delivery uses of the store of sessions: the broker's own words for it, as far as they are needed. */
import type { BrokerPacket } from './parcel.ts';
import type { SessionStore } from './stored-queue.ts';

export interface StoredSubscription {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly rh: number | undefined;
  readonly rap: boolean | undefined;
  readonly nl: boolean | undefined;
  readonly subscriptionIdentifier?: number;
}

export interface BrokerStore extends SessionStore {
  addSubscriptions(client: { id: string }, subscriptions: readonly StoredSubscription[]): Promise<unknown>;
  removeSubscriptions(client: { id: string }, filters: readonly string[]): Promise<unknown>;
  createRetainedStream(filter: string): AsyncIterable<BrokerPacket>;
}
