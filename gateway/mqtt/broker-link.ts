/**
 * The socket that the broker sees: frames that the front lets through on one side, the broker's own bytes on the other.
 * The broker's CONNACK stays here; the front has its own.
 */
import { Duplex } from 'node:stream';
import type { StoredSubscription } from './broker-store.ts';

/** The front, as its link sees it. */
export interface BrokerGuest {
  /** The broker has taken the session in. */
  welcome(sessionPresent: boolean): void;
  /** Bytes for the device; `done` when there is room for more. */
  fromBroker(bytes: Buffer, done: () => void): void;
  /** The broker has let go of the session. */
  detached(): void;
}

export class BrokerLink extends Duplex {
  readonly guest: BrokerGuest;
  /** Whether the session was there before, by the store; the broker would say no to one that subscribes to nothing. */
  present = false;
  /** A stored subscription of the session, one by one before it is welcome. */
  restored: ((stored: StoredSubscription) => void) | null = null;
  /** The broker's CONNACK, until it is whole. */
  #connack: Buffer | null = Buffer.alloc(0);

  constructor(guest: BrokerGuest) {
    super({ readableHighWaterMark: 16 * 1024, writableHighWaterMark: 64 * 1024, decodeStrings: true });
    this.guest = guest;
  }

  /** Hands a whole frame to the broker; copied, since the socket's buffer moves on. */
  inject(frame: Buffer): void {
    this.push(Buffer.from(frame));
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

  #forward(bytes: Buffer, done: () => void): void {
    if (this.#connack === null) return this.guest.fromBroker(bytes, done);
    const got = Buffer.concat([this.#connack, bytes]);
    // A CONNACK is short: its length is one byte.
    const end = got.length < 2 ? Number.POSITIVE_INFINITY : 2 + got[1]!;
    if (got.length < end) {
      this.#connack = got;
      return done();
    }
    this.#connack = null;
    this.guest.welcome(this.present);
    if (got.length === end) return done();
    this.guest.fromBroker(got.subarray(end), done);
  }
}
