/** The connection as its outbound messages see it: whether the client reads, what it takes, what it may hear. */
import type { Fault } from '#common/fault.ts';
import type { Wire } from '../door/wire.ts';
import { isCommandTopic } from './command-topic.ts';
import type { OutboundHost } from './outbound.ts';
import type { Speaker } from './speaker.ts';

export class WayOut implements OutboundHost {
  readonly #speaker: Speaker;
  readonly #socket: Wire;

  constructor(speaker: Speaker, socket: Wire) {
    this.#speaker = speaker;
    this.#socket = socket;
  }

  get version(): 4 | 5 {
    return this.#speaker.version;
  }

  get maximumPacketSize(): number {
    return this.#speaker.maximumPacketSize;
  }

  get outboundMaximum(): number {
    return this.#speaker.outboundMaximum;
  }

  get greeted(): boolean {
    return this.#speaker.greeted;
  }

  get congested(): boolean {
    return this.#socket.writableNeedDrain;
  }

  whenEased(run: () => void): void {
    this.#socket.once('drain', run);
  }

  mayHear(topic: string): boolean {
    const { rights, device } = this.#speaker;
    // A device has its commands from the registry, and its own replies are no news to it.
    if (isCommandTopic(topic) && topic.startsWith(`devices/${device}/`)) return false;
    return rights.mayReceive(topic);
  }

  write(bytes: Buffer): void {
    this.#speaker.write(bytes);
  }

  end(fault: Fault, options: { silence: boolean }): Promise<void> {
    return this.#speaker.end(fault, options);
  }
}
