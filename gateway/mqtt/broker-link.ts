/**
 * The socket that the broker sees: the CONNECT that the front lets through on one side, the broker's own bytes on the other.
 * They stay here: of its CONNACK only that it has come is told, and what else it may say the front has said in its own words.
 */
import { Duplex } from 'node:stream';
import type { StoredSubscription } from './broker-store.ts';

/** The front, as its link sees it. */
export interface BrokerGuest {
  /** The broker has taken the session in. */
  welcome(sessionPresent: boolean): void;
  /** The broker has let go of the session. */
  detached(): void;
}

export class BrokerLink extends Duplex {
  readonly guest: BrokerGuest;
  /** Whether the session was there before, by the store; the broker would say no to one that subscribes to nothing. */
  present = false;
  /** A stored subscription of the session, one by one before it is welcome. */
  restored: ((stored: StoredSubscription) => void) | null = null;
  #isWelcome = false;

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

  /** The first bytes are the CONNACK's. */
  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
    if (this.#isWelcome) return;
    this.#isWelcome = true;
    this.guest.welcome(this.present);
  }

  override _destroy(_error: Error | null, done: (error: null) => void): void {
    // An error of the broker about this client is an end like any other; the front says why, if anybody can.
    done(null);
    this.guest.detached();
  }
}
