/**
 * The keys of TLS tickets (RFC 5077, section 4; RFC 8446, section 4.6.1): made at the start, never written down, made anew
 * after twice the lifetime of a ticket. A server has one set of keys: tickets under the former are worth a full handshake,
 * which is what becomes of a quarter of them. Each door has its own, so that a ticket of one is none at another.
 */
import { hkdfSync, randomBytes } from 'node:crypto';
import type { Cancel, Clock } from '#common/clock.ts';

/** What a listener needs of them. */
export interface TicketKeys {
  /** 48 bytes, as `setTicketKeys` takes them. */
  of(door: string): Buffer;
  /** Calls back when there are new ones. Returns how to stop. */
  onRotated(use: () => void): () => void;
}

const secretBytes = 32;
/** Lifetimes of a ticket between two rotations. */
const lifetimes = 2;

/** Keys that others make: the main process for its workers. */
export class HandedTicketKeys implements TicketKeys {
  #secret: Buffer;
  readonly #listeners = new Set<() => void>();

  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  get secret(): Buffer {
    return this.#secret;
  }

  of(door: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#secret, '', `fleetgate tickets of ${door}`, 48));
  }

  onRotated(use: () => void): () => void {
    this.#listeners.add(use);
    return () => this.#listeners.delete(use);
  }

  replace(secret: Buffer): void {
    this.#secret = secret;
    for (const use of this.#listeners) use();
  }
}

/** Keys that are made here. */
export class OwnTicketKeys extends HandedTicketKeys implements Disposable {
  readonly #cancel: Cancel;

  constructor(clock: Clock, ticketLifetimeMs: number) {
    super(randomBytes(secretBytes));
    this.#cancel = clock.every(ticketLifetimeMs * lifetimes, () => this.replace(randomBytes(secretBytes)));
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}
