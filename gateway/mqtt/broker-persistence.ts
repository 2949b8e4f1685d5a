/**
 * The store as this gateway's aedes uses it. Sessions begin and end in broker.ts, Wills leave by wills.ts, and what is
 * queued is sent by the way out: aedes is kept from doing any of it a second time.
 */
import { Readable } from 'node:stream';
import { Persistence } from './store/persistence.ts';
import type { SessionStore } from './store/session-store.ts';
import type { Subscription } from './store/subscription-table.ts';

/** Whether a device may leave a retained message on a topic, as of now. */
export type MayRetain = (device: string, topic: string) => boolean;

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

  override async delWill(): Promise<undefined> {}

  /** Without a look at the disk for sessions that have none. */
  override async subscriptionsByClient(client: { id: string }): Promise<Subscription[]> {
    return this.store.index.has(client.id) ? super.subscriptionsByClient(client) : [];
  }

  /** aedes itself would send what is stored at once, without regard to what the client takes. */
  override outgoingStream(client: { id: string; connecting?: boolean }): Readable {
    return client.connecting === undefined ? super.outgoingStream(client) : Readable.from([]);
  }
}
