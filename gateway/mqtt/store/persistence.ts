/**
 * The store as aedes wants it (its persistence interface, in its promise form): names and shapes are aedes'. Every rule is
 * the store's own.
 */
import { Readable } from 'node:stream';
import type { Reader } from './message-queue.ts';
import type { BrokerPacket } from './packet.ts';
import type { SessionStore } from './session-store.ts';
import type { Subscription } from './subscription-table.ts';

export interface BrokerClient {
  readonly id: string;
}

type Outgoing = Partial<BrokerPacket> & { cmd?: string };

interface WillPacket {
  topic: string;
  payload: Buffer;
  qos: number;
  retain: boolean;
  brokerId?: string;
  clientId?: string;
}

const pageSize = 64;

export class Persistence {
  readonly store: SessionStore;
  #broker: { id: string } | undefined;

  constructor(store: SessionStore) {
    this.store = store;
  }

  get broker(): { id: string } | undefined {
    return this.#broker;
  }

  async setup(broker: { id: string }): Promise<void> {
    this.#broker = broker;
  }

  /** Whose the message is that is being retained. */
  protected author(): string {
    return '';
  }

  /** Whether a message may be handed on that a device has left. */
  protected mayHand(_device: string, _topic: string): boolean {
    return true;
  }

  storeRetained(packet: BrokerPacket): Promise<void> {
    return this.store.retained.put(this.author(), packet);
  }

  createRetainedStream(filter: string): Readable {
    return this.createRetainedStreamCombi([filter]);
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retained(filters));
  }

  async *#retained(filters: readonly string[]): AsyncGenerator<BrokerPacket> {
    const { retained, clock } = this.store;
    for (const filter of filters) {
      for await (const message of retained.matching(filter, clock.now()))
        if (this.mayHand(message.device, message.topic)) yield message;
    }
  }

  addSubscriptions({ id }: BrokerClient, subscriptions: readonly Subscription[]): Promise<void> {
    return this.store.subscriptions.add(id, subscriptions);
  }

  removeSubscriptions({ id }: BrokerClient, filters: readonly string[]): Promise<void> {
    return this.store.subscriptions.remove(id, filters);
  }

  subscriptionsByClient({ id }: BrokerClient): Promise<Subscription[]> {
    return this.store.subscriptions.of(id);
  }

  async subscriptionsByTopic(topic: string): Promise<Reader[]> {
    return this.store.index.match(topic);
  }

  cleanSubscriptions({ id }: BrokerClient): Promise<void> {
    return this.store.subscriptions.clear(id);
  }

  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return this.store.index.counts();
  }

  getClientList(filter: string): Readable {
    return Readable.from(this.#clients(filter));
  }

  async *#clients(filter: string): AsyncGenerator<string> {
    yield* await this.store.subscriptions.clientsOf(filter);
  }

  outgoingEnqueue(reader: Reader, packet: BrokerPacket): Promise<void> {
    return this.store.queue.add([reader], packet);
  }

  outgoingEnqueueCombi(readers: readonly Reader[], packet: BrokerPacket): Promise<void> {
    return this.store.queue.add(readers, packet);
  }

  /** Before a PUBLISH or PUBREL is sent. Rejects for a PUBLISH that is not kept. */
  async outgoingUpdate({ id }: BrokerClient, packet: Outgoing): Promise<void> {
    const { queue } = this.store;
    if (packet.cmd === 'pubrel') await queue.release(id, packet.messageId!);
    else if (!(await queue.mark(id, packet as BrokerPacket))) throw new Error('no such packet');
  }

  async outgoingClearMessageId(
    client: BrokerClient,
    packet: { messageId?: number | undefined } | number,
  ): Promise<BrokerPacket | undefined> {
    const messageId = typeof packet === 'number' ? undefined : packet.messageId;
    return messageId === undefined ? undefined : this.store.queue.remove(client.id, messageId);
  }

  outgoingStream(client: BrokerClient): Readable {
    return Readable.from(this.#outgoing(client.id));
  }

  async *#outgoing(clientId: string): AsyncGenerator<unknown> {
    const { queue, clock } = this.store;
    for (let place = 0; ; ) {
      const page = await queue.page(clientId, place, pageSize, clock.now());
      for (const { packet } of page) yield packet;
      if (page.length === 0) return;
      place = page.at(-1)!.place;
    }
  }

  incomingStorePacket({ id }: BrokerClient, packet: BrokerPacket): Promise<void> {
    return this.store.incoming.put(id, packet);
  }

  async incomingGetPacket({ id }: BrokerClient, { messageId }: BrokerPacket): Promise<BrokerPacket> {
    const found = await this.store.incoming.find(id, messageId!);
    if (!found) throw new Error('no such packet');
    return found;
  }

  async incomingDelPacket({ id }: BrokerClient, { messageId }: BrokerPacket): Promise<void> {
    if (!(await this.store.incoming.drop(id, messageId!))) throw new Error('no such packet');
  }

  async putWill({ id }: BrokerClient, will: WillPacket): Promise<void> {
    will.brokerId = this.#broker!.id;
    will.clientId = id;
    await this.store.wills.replace(id, this.#broker!.id, will);
  }

  async getWill({ id }: BrokerClient): Promise<WillPacket | undefined> {
    const will = await this.store.wills.ofClient(id);
    return will && willPacket(will);
  }

  async delWill({ id }: BrokerClient): Promise<WillPacket | undefined> {
    const will = await this.store.wills.ofClient(id);
    if (will) await this.store.wills.published(will.id);
    return will && willPacket(will);
  }

  streamWill(brokers: Record<string, unknown> = {}): Readable {
    return Readable.from(this.#wills(brokers));
  }

  async *#wills(brokers: Record<string, unknown>): AsyncGenerator<WillPacket> {
    for (const will of await this.store.wills.all()) if (!(will.process in brokers)) yield willPacket(will);
  }

  async destroy(): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }
}

const willPacket = ({ clientId, process, topic, payload, qos, retain }: Stored): WillPacket => ({
  clientId,
  brokerId: process,
  topic,
  payload,
  qos,
  retain,
});

type Stored = Required<Pick<WillPacket, 'topic' | 'payload' | 'qos' | 'retain'>> & {
  clientId: string;
  process: string;
};
