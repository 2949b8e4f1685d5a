/** Retained messages for who has just subscribed (MQTT 5, section 3.3.1.3), as fast as the subscriber takes them. */
import type { BrokerStore } from './broker-store.ts';
import { messageOf } from './parcel.ts';
import { noIdentifiers } from './publish-packet.ts';
import { StoredQueue } from './stored-queue.ts';
import { retainedMark, type Subscriber, type Subscription } from './subscriber.ts';

export interface RetainedParts {
  readonly store: BrokerStore;
  /** A name for one more message of this broker. */
  newName(): { brokerId: string; brokerCounter: number };
}

/** Sends what is retained and matches; resolves when all of it is handed over, or the subscriber is gone. */
export async function deliverRetained(
  subscriber: Subscriber,
  { filter, qos, identifier }: Subscription,
  { store, newName }: RetainedParts,
): Promise<void> {
  const { outbound, stored, clientId } = subscriber;
  const identifiers = identifier === undefined ? noIdentifiers : [identifier];
  for await (const packet of store.createRetainedStream(filter)) {
    if (packet.topic.startsWith('$') && (filter.startsWith('#') || filter.startsWith('+'))) continue; // [MQTT-4.7.2-1]
    await new Promise<void>((resolve) => outbound.whenRoom(resolve));
    if (outbound.closed) return;
    const { brokerId, brokerCounter } = newName();
    const named = { ...packet, brokerId: brokerId + retainedMark, brokerCounter };
    const message = messageOf(named);
    const granted = qos < message.qos ? qos : message.qos;
    const keep = stored && granted > 0;
    if (keep) await new StoredQueue(store, clientId).keep(named);
    outbound.push({ message, qos: granted, retain: true, identifiers, stored: keep });
  }
}
