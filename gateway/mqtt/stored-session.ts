/**
 * The part of a session's stored queue that is in memory: a window on it, which is moved on when it has been sent. What
 * does not fit waits in the store, so that a queue of any length costs no more than the window.
 */
import type { Grant, Message, Parcel } from './parcel.ts';
import { messageOf } from './parcel.ts';
import { keyOf, type StoredQueue } from './stored-queue.ts';

/** What fills up from the store. */
export interface Refillable {
  readonly closed: boolean;
  readonly hasRoom: boolean;
  push(parcel: Parcel): void;
  begin(): void;
  releaseAgain(packetId: number): void;
}

export class StoredSession {
  readonly queue: StoredQueue;
  readonly #grantOf: (message: Message) => Grant;
  /** Messages that are in the window. */
  readonly #known = new Set<string>();
  /** The store holds, or may hold, what is not in the window. */
  #behind: boolean;
  #reading = false;
  /** What has left the window since the reading began. */
  #landed: string[] = [];
  /** What is pushed comes from the store. */
  #filling = false;

  /**
   * `grantOf` says how the session gets a message, by its subscriptions as of now; `isNew` that what the store may still
   * have is not for it [MQTT-3.1.2-4].
   */
  constructor(queue: StoredQueue, grantOf: (message: Message) => Grant, isNew: boolean) {
    this.queue = queue;
    this.#grantOf = grantOf;
    this.#behind = !isNew;
  }

  /** Whether a parcel that has come is to stay in the store until its turn; otherwise it is in the window from now on. */
  leaveThere({ message }: Parcel): boolean {
    if (this.#filling) return false;
    if (this.#behind || this.#reading) {
      this.#behind = true;
      return true;
    }
    const key = keyOf(message.packet);
    // The window has just been moved on over it.
    if (this.#known.has(key)) return true;
    this.#known.add(key);
    return false;
  }

  /** One that was to be in the window did not fit. */
  overflow({ message }: Parcel): void {
    this.#known.delete(keyOf(message.packet));
    this.#behind = true;
  }

  /** A parcel of the window is over, and out of the store. */
  landed({ message }: Parcel): void {
    const key = keyOf(message.packet);
    // What is being read may still show it.
    if (this.#reading) this.#landed.push(key);
    else this.#known.delete(key);
  }

  /** One that is not to be sent is taken out of the store; `packetId` is free for it. */
  forget(parcel: Parcel, packetId: number): void {
    const { packet } = parcel.message;
    const named = parcel.again === packetId ? Promise.resolve() : this.queue.sending(packet, packetId);
    named
      .then(() => this.queue.done(packetId))
      .catch(() => {
        // It stays, and is judged again after the next reconnect.
      })
      .finally(() => this.landed(parcel));
  }

  /** Moves the window on when there is something behind it. */
  refill(into: Refillable): void {
    if (!this.#behind || this.#reading) return;
    this.#reading = true;
    this.#behind = false;
    this.#fill(into).then(
      () => {
        this.#read();
        into.begin();
      },
      () => {
        // A store that cannot be read now is read again after what comes next.
        this.#read();
        this.#behind = true;
      },
    );
  }

  #read(): void {
    this.#reading = false;
    for (const key of this.#landed) this.#known.delete(key);
    this.#landed = [];
  }

  async #fill(into: Refillable): Promise<void> {
    for await (const packet of this.queue.packets()) {
      if (into.closed) return;
      const { messageId } = packet;
      if (packet.cmd === 'pubrel') {
        into.releaseAgain(messageId!);
        continue;
      }
      const key = keyOf(packet);
      if (this.#known.has(key)) continue;
      // What was sent before goes first [MQTT-4.6.0-1]: it is all taken, so that its packet ids are.
      if (!into.hasRoom && !messageId) {
        this.#behind = true;
        return;
      }
      this.#known.add(key);
      const message = messageOf(packet);
      const grant = this.#grantOf(message);
      const again = messageId || undefined;
      // It was stored to be delivered for certain, whatever has been granted since.
      const qos = grant.qos === 0 ? 1 : grant.qos;
      this.#filling = true;
      into.push({ message, ...grant, qos, stored: true, again });
      this.#filling = false;
    }
  }
}
