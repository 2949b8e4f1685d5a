/** The connection as its outbound messages see it: whether the client reads, what it takes, what it may hear. */
import type { Fault } from '#common/fault.ts';
import type { Wire } from '../door/wire.ts';
import type { OutboundHost } from './outbound.ts';
import type { Speaker } from './speaker.ts';

export class WayOut implements OutboundHost {
  readonly outboundMaximum: number;
  readonly #speaker: Speaker;
  readonly #socket: Wire;

  /** `outboundMaximum` is the client's Receive Maximum, or ours for one that has none. */
  constructor(speaker: Speaker, socket: Wire, outboundMaximum: number) {
    this.#speaker = speaker;
    this.#socket = socket;
    this.outboundMaximum = outboundMaximum;
  }

  get version(): 4 | 5 {
    return this.#speaker.version;
  }

  get maximumPacketSize(): number {
    return this.#speaker.maximumPacketSize;
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
    return this.#speaker.rights.mayReceive(topic);
  }

  write(bytes: Buffer): void {
    this.#speaker.write(bytes);
  }

  end(fault: Fault, options: { silence: boolean }): Promise<void> {
    return this.#speaker.end(fault, options);
  }
}
