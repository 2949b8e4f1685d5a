/**
 * The store as this gateway's aedes uses it: what aedes gets wrong about sessions is put right here. Wills are not shown to
 * it (wills.ts), nor is the end of a session (broker.ts).
 */
import { Readable } from 'node:stream';
import type { LinkedClient } from './attachment.ts';
import type { BrokerPacket } from './store/packet.ts';
import { Persistence } from './store/persistence.ts';
import type { SessionStore } from './store/session-store.ts';

/** Whether a device may leave a retained message on a topic, as of now. */
export type MayRetain = (device: string, topic: string) => boolean;

/** A packet of aedes on its way to a client. */
export type OutgoingPacket = BrokerPacket & {
  /** Goes on with the next. */
  writeCallback?: () => void;
  /** Left in the queue. */
  waits?: boolean;
};

const pageSize = 64;

export class BrokerPersistence extends Persistence {
  readonly #mayRetain: MayRetain;
  #author = '';

  constructor(store: SessionStore, mayRetain: MayRetain) {
    super(store);
    this.#mayRetain = mayRetain;
  }

  /** Runs a publish of a device: aedes asks for what is retained to be stored before it returns. */
  speaking(device: string, publish: () => void): void {
    this.#author = device;
    publish();
    this.#author = '';
  }

  protected override author(): string {
    return this.#author;
  }

  protected override mayHand(device: string, topic: string): boolean {
    return this.#mayRetain(device, topic);
  }

  /** The session was opened, and what was there before is gone, before aedes saw the CONNECT. */
  override async cleanSubscriptions(): Promise<void> {}

  override async subscriptionsByClient(client: LinkedClient) {
    return this.store.index.has(client.id) ? super.subscriptionsByClient(client) : [];
  }

  override async delWill(): Promise<undefined> {}

  /** What was sent before goes first, under the same packet ids; then the others, until none is left. */
  override outgoingStream(client: LinkedClient): Readable {
    return Readable.from(this.#drain(client));
  }

  async *#drain({ id, conn, delivery }: LinkedClient): AsyncGenerator<unknown> {
    const { queue, clock } = this.store;
    const which = ['sent', 'unsent'] as const;
    for (const state of conn.stored ? which : []) {
      for (let place = 0; ; ) {
        const page = await queue.page(id, place, pageSize, clock.now(), state);
        if (page.length === 0) break;
        for (const { packet } of page) {
          delivery.handed();
          yield packet;
        }
        await delivery.settled();
        // What was not sent is sent now and has left this list; ids of messages may be used again, so nothing is skipped.
        if (state === 'sent') place = page.at(-1)!.place;
      }
    }
    delivery.draining = false;
  }

  override async outgoingUpdate(client: LinkedClient, packet: OutgoingPacket): Promise<unknown> {
    const { draining } = client.delivery;
    if (packet.cmd === 'pubrel') {
      // One that nobody knows is answered all the same (section 4.3.3).
      await this.mark(client, packet, true);
      if (draining) client.delivery.taken();
      return undefined;
    }
    const marked = await this.mark(client, packet, draining);
    if (draining) client.delivery.taken();
    if (draining && marked === 'again') packet.dup = true; // [MQTT-3.3.1-1]
    if (marked === 'fresh' || (draining && marked === 'again')) return undefined;
    // It has been sent with the queue, or is not kept any more. aedes sends what this promise is kept for.
    packet.writeCallback?.();
    return new Promise(() => {});
  }

  override async outgoingClearMessageId(
    client: LinkedClient,
    packet: OutgoingPacket,
  ): Promise<BrokerPacket | undefined> {
    if (!client.conn.stored) return undefined;
    if (packet.messageId !== undefined) return super.outgoingClearMessageId(client, packet);
    // Not sent: it stays when its turn is still to come, and goes when it may not be sent.
    if (packet.cmd === 'publish' && !packet.waits) await this.store.queue.discard(client.id, packet);
    return undefined;
  }
}
