/**
 * What the broker's store keeps for one session, as delivery sees it: messages of QoS 1 and 2 in their order, each from
 * its enqueuing to its last acknowledgement, with the packet id it was sent under. Packet ids are written down before
 * they are used, so that a session goes on after a crash without a second delivery of QoS 2.
 */
import type { BrokerPacket } from './parcel.ts';

/** What we use of the store of the broker. */
export interface SessionStore {
  outgoingStream(client: { id: string }): AsyncIterable<BrokerPacket>;
  outgoingEnqueue(client: { clientId: string }, packet: BrokerPacket): Promise<unknown>;
  outgoingUpdate(client: { id: string }, packet: object): Promise<unknown>;
  outgoingClearMessageId(client: { id: string }, packet: { messageId: number }): Promise<unknown>;
}

export class StoredQueue {
  readonly #store: SessionStore;
  readonly #client: { readonly id: string; readonly clientId: string };

  constructor(store: SessionStore, clientId: string) {
    this.#store = store;
    this.#client = { id: clientId, clientId };
  }

  /** Everything that is kept, in order: messages, and PUBREL whose PUBCOMP is awaited. */
  packets(): AsyncIterable<BrokerPacket> {
    return this.#store.outgoingStream(this.#client);
  }

  async keep(packet: BrokerPacket): Promise<void> {
    await this.#store.outgoingEnqueue(this.#client, packet);
  }

  /** A message goes under this packet id. Rejects when the store does not have it. */
  async sending(packet: BrokerPacket, messageId: number): Promise<void> {
    const { brokerId, brokerCounter, topic, payload, qos, retain } = packet;
    const { properties, messageExpiry } = packet;
    const update = { cmd: 'publish', brokerId, brokerCounter, topic, payload, qos, retain, messageId };
    await this.#store.outgoingUpdate(this.#client, { ...update, properties, messageExpiry });
  }

  /** PUBREC came: what is awaited is PUBCOMP. */
  async releasing(messageId: number): Promise<void> {
    await this.#store.outgoingUpdate(this.#client, { cmd: 'pubrel', messageId });
  }

  async done(messageId: number): Promise<void> {
    await this.#store.outgoingClearMessageId(this.#client, { messageId });
  }
}

/** A message's name in the store. */
export const keyOf = ({ brokerId, brokerCounter }: BrokerPacket): string => `${brokerCounter}@${brokerId}`;
