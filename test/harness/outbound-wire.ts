/** The connection of a client of the tests: what was sent to it, read by another library. */
import { type IPublishPacket, type Packet, parser } from 'mqtt-packet';
import type { OutboundHost } from '../../gateway/mqtt/outbound.ts';

export class OutboundWire implements OutboundHost {
  readonly version = 5;
  readonly maximumPacketSize = 1_000;
  outboundMaximum = 2;
  greeted = true;
  congested = false;
  ended = false;
  // biome-ignore lint/suspicious/noExplicitAny: the tests know which fields their packet has
  readonly packets: any[] = [];
  readonly #parser = parser({ protocolVersion: 5 }).on('packet', (packet: Packet) =>
    this.packets.push(packet),
  );
  #eased: (() => void)[] = [];

  /** Payloads of what was published. */
  get texts(): string[] {
    const publishes = this.packets.filter(({ cmd }) => cmd === 'publish') as IPublishPacket[];
    return publishes.map(({ payload }) => payload.toString());
  }

  write(bytes: Buffer): void {
    this.#parser.parse(bytes);
  }

  whenEased(run: () => void): void {
    this.#eased.push(run);
  }

  /** The client reads again. */
  ease(): void {
    this.congested = false;
    for (const run of this.#eased.splice(0)) run();
  }

  mayHear(topic: string): boolean {
    return !topic.startsWith('secret/');
  }

  async end(): Promise<void> {
    this.ended = true;
  }
}
