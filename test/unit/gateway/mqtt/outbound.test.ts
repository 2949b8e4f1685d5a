/** What leaves towards one client: in order, within its Receive Maximum, each acknowledged to whoever sent it. */
import { parser } from 'mqtt-packet';
import { expect, test } from 'vitest';
import { openMetrics } from '../../../../common/metrics.ts';
import { type Ending, Outbound, type OutboundHost } from '../../../../gateway/mqtt/outbound.ts';
import { dispatchIds } from '../../../../gateway/mqtt/packet-ids.ts';

class Wire implements OutboundHost {
  readonly version = 5;
  readonly maximumPacketSize: number = 1_000;
  readonly outboundMaximum: number = 2;
  greeted = true;
  // biome-ignore lint/suspicious/noExplicitAny: the tests know which fields their packet has
  readonly packets: any[] = [];
  readonly #parser = parser({ protocolVersion: 5 }).on('packet', (packet) => this.packets.push(packet));

  congested = false;
  ended = false;
  #eased: (() => void)[] = [];

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

const metrics = openMetrics();
const opened = (wire: Wire, maxQueuedSize = 10_000) =>
  new Outbound(wire, { settings: { maxQueuedSize }, clock: { now: () => 1_000_000 }, metrics });

const message = (text: string) => ({ topic: 'devices/d/commands/1/x', payload: Buffer.from(text) });
/** What was sent in one turn goes in one write, after it. */
const turn = async () => {
  for (let n = 0; n < 10; n++) await Promise.resolve();
};

test('no more are unacknowledged than the client takes, and they keep their order', async () => {
  const wire = new Wire();
  const outbound = opened(wire);
  for (const text of ['1', '2', '3', '4']) outbound.send(message(text), () => {});
  await turn();
  expect(wire.packets.map(({ payload }) => payload.toString())).toEqual(['1', '2']);
  expect(outbound.acknowledge(4, wire.packets[1].messageId, 0)).toBe(true);
  await turn();
  expect(wire.packets.map(({ payload }) => payload.toString())).toEqual(['1', '2', '3']);
  expect(wire.packets.map(({ qos, dup }) => [qos, dup])).toEqual(Array(3).fill([1, false]));
  expect(new Set(wire.packets.map(({ messageId }) => messageId)).size).toBe(3);
  expect(Math.min(...wire.packets.map(({ messageId }) => messageId))).toBe(dispatchIds.first);
});

test('whoever sent it hears how it ended', async () => {
  const wire = new Wire();
  const outbound = opened(wire);
  const endings: [string, Ending, number][] = [];
  const send = (text: string) =>
    outbound.send(message(text), (ending, code) => endings.push([text.slice(0, 1), ending, code]));
  for (const text of ['a', 'b', 'c'.repeat(1_000), 'd', 'e']) send(text);
  await turn();
  outbound.acknowledge(4, wire.packets[0].messageId, 0x10);
  await turn();
  outbound.acknowledge(4, wire.packets[1].messageId, 0x97);
  await turn();
  outbound.close();
  expect(endings).toEqual([
    ['a', 'acknowledged', 0x10],
    ['c', 'too-large', 0],
    ['b', 'refused', 0x97],
    ['d', 'closed', 0],
    ['e', 'closed', 0],
  ]);
  send('late');
  await turn();
  expect(endings.at(-1)).toEqual(['l', 'closed', 0]);
});

test('nothing leaves before CONNACK', async () => {
  const wire = new Wire();
  wire.greeted = false;
  const outbound = opened(wire);
  outbound.send(message('1'), () => {});
  await turn();
  expect(wire.packets).toEqual([]);
  wire.greeted = true;
  outbound.begin();
  await turn();
  expect(wire.packets).toHaveLength(1);
});

test('what is sent again goes under its packet id, marked DUP', async () => {
  const wire = new Wire();
  const outbound = opened(wire);
  const sent: number[] = [];
  outbound.send({ ...message('1'), again: 0xd000, sent: (packetId) => sent.push(packetId) }, () => {});
  outbound.send({ ...message('2'), sent: (packetId) => sent.push(packetId) }, () => {});
  await turn();
  expect(wire.packets.map(({ dup, messageId }) => [dup, messageId])).toEqual([
    [true, 0xd000],
    [false, dispatchIds.first],
  ]);
  expect(sent).toEqual([0xd000, dispatchIds.first]);
});

test('what is not ours to acknowledge is left to the broker', () => {
  expect(opened(new Wire()).acknowledge(4, 7, 0)).toBe(false);
});
