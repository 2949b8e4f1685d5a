/** The MQTT connections that came in by one door, and their end when the door closes. */
import { Fault } from '#common/fault.ts';
import type { Peer } from '../door/peer.ts';
import type { Wire } from '../door/wire.ts';
import { Front } from './front.ts';
import type { FrontParts } from './front-parts.ts';

/** Connections that are told goodbye before the loop gets a turn. */
const lot = 500;

export class Fronts {
  readonly #parts: FrontParts;
  readonly #all = new Set<Front>();
  #closing = false;

  constructor(parts: FrontParts) {
    this.#parts = parts;
  }

  /** A finished handshake that goes on in MQTT. `acceptedAtMs` is of `clock.elapsed()`. */
  take(wire: Wire, peer: Peer, acceptedAtMs: number): void {
    const front = new Front(wire, peer, acceptedAtMs, this.#parts);
    this.#all.add(front);
    wire.once('close', () => this.#all.delete(front));
    // One whose handshake was under way when the door closed.
    if (this.#closing) void front.end(shuttingDown(), { silence: false });
  }

  /** Everybody is told that the server shuts down (0x8B in MQTT 5); resolves when they are gone. */
  async end(): Promise<void> {
    this.#closing = true;
    const ended: Promise<void>[] = [];
    for (const front of this.#all) {
      ended.push(front.end(shuttingDown(), { silence: false }));
      if (ended.length % lot === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await Promise.all(ended);
  }
}

const shuttingDown = () => new Fault('shutting-down', 'The gateway is shutting down; connect again.');
