/**
 * The socket that the broker sees: frames that the front lets through on one side, the broker's own bytes on the other.
 * The broker's CONNACK stays here; the front has its own.
 */
import { Duplex } from 'node:stream';
import { type Frame, scanFrame, whole } from './frame.ts';

/** The front, as its link sees it. */
export interface BrokerGuest {
  /** The broker has taken the session in. */
  welcome(sessionPresent: boolean): void;
  /** Bytes for the device; `done` when there is room for more. */
  fromBroker(bytes: Buffer, done: () => void): void;
  /** The broker has let go of the session. */
  detached(): void;
}

const connack = 0x20;
const frame: Frame = { head: 0, start: 0, end: 0 };

export class BrokerLink extends Duplex {
  readonly guest: BrokerGuest;
  /** The session was there before this connection: Session Present of CONNACK. */
  present = false;
  /** The session is in the store. */
  stored = false;
  /** What the broker has written before its CONNACK was whole. */
  #early: Buffer | null = Buffer.alloc(0);

  constructor(guest: BrokerGuest) {
    super({ readableHighWaterMark: 16 * 1024, writableHighWaterMark: 64 * 1024, decodeStrings: true });
    this.guest = guest;
  }

  /** Hands a whole frame to the broker; copied, since the socket's buffer moves on. */
  inject(bytes: Buffer): void {
    this.push(Buffer.from(bytes));
  }

  override _read(): void {
    // Frames are pushed as they come: what the front lets through is bounded by its own limits.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#forward(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.#forward(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _destroy(_error: Error | null, done: (error: null) => void): void {
    // An error of the broker about this client is an end like any other; the front says why, if anybody can.
    done(null);
    this.guest.detached();
  }

  /** aedes restores subscriptions before it says CONNACK, and what they hear meanwhile comes first: it waits here [MQTT-3.2.0-1]. */
  #forward(bytes: Buffer, done: () => void): void {
    if (this.#early === null) return this.guest.fromBroker(bytes, done);
    const early = this.#early.length === 0 ? bytes : Buffer.concat([this.#early, bytes]);
    this.#early = early;
    for (let at = 0; scanFrame(early, at, Number.POSITIVE_INFINITY, frame) === whole; at = frame.end) {
      if (early[at] !== connack) continue;
      this.#early = null;
      const rest = Buffer.concat([early.subarray(0, at), early.subarray(frame.end)]);
      this.guest.welcome(this.present);
      return rest.length === 0 ? done() : this.guest.fromBroker(rest, done);
    }
    done();
  }
}
