/** A session whose queue is in a store: every packet id is written down before it is used, and nothing is sent twice or forgotten. */
import { expect, test } from 'vitest';
import { openMetrics } from '../../../../common/metrics.ts';
import { Outbound } from '../../../../gateway/mqtt/outbound.ts';
import { type BrokerPacket, type Grant, messageOf } from '../../../../gateway/mqtt/parcel.ts';
import { type SessionStore, StoredQueue } from '../../../../gateway/mqtt/stored-queue.ts';
import { StoredSession } from '../../../../gateway/mqtt/stored-session.ts';
import { OutboundWire } from '../../../harness/outbound-wire.ts';

/** A store that works, in memory; it answers when it is told to, if it is to be slow. */
class Store implements SessionStore {
  queue: (Partial<BrokerPacket> & { messageId?: number })[] = [];
  readonly log: string[] = [];
  #gate: Promise<void> = Promise.resolve();
  #open: () => void = () => {};

  /** Nothing is answered until `answer`. */
  stall(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  answer(): void {
    this.#open();
  }

  async *outgoingStream(): AsyncIterable<BrokerPacket> {
    yield* [...this.queue] as BrokerPacket[];
  }

  async outgoingEnqueue(_client: object, packet: BrokerPacket): Promise<void> {
    this.queue.push({ ...packet });
  }

  async outgoingUpdate(_client: object, packet: Partial<BrokerPacket>): Promise<void> {
    await this.#gate;
    const index = this.queue.findIndex((one) =>
      packet.cmd === 'pubrel'
        ? one.messageId === packet.messageId
        : one.brokerId === packet.brokerId && one.brokerCounter === packet.brokerCounter,
    );
    if (index < 0) throw new Error('no such packet');
    this.log.push(`${packet.cmd} ${packet.messageId}`);
    this.queue[index] =
      packet.cmd === 'pubrel' ? { ...packet } : { ...this.queue[index], messageId: packet.messageId };
  }

  async outgoingClearMessageId(_client: object, { messageId }: { messageId: number }): Promise<void> {
    await this.#gate;
    this.queue = this.queue.filter((one) => one.messageId !== messageId);
  }
}

const packetOf = (brokerCounter: number, qos: 0 | 1 | 2 = 1, payload = `${brokerCounter}`): BrokerPacket => ({
  topic: 't',
  payload: Buffer.from(payload),
  qos,
  retain: false,
  brokerId: 'b',
  brokerCounter,
});
const granted = (packet: BrokerPacket): Grant => ({ qos: packet.qos, retain: false, identifiers: [] });
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function open(store: Store, { maxQueuedSize = 10_000, outboundMaximum = 10, isNew = false } = {}) {
  const wire = new OutboundWire();
  wire.outboundMaximum = outboundMaximum;
  const parts = { settings: { maxQueuedSize }, clock: { now: () => 1_000 }, metrics: openMetrics() };
  const outbound = new Outbound(wire, parts);
  outbound.resume(new StoredSession(new StoredQueue(store, 'd'), ({ packet }) => granted(packet), isNew));
  /** As the broker does: into the store, then out. */
  const publish = async (packet: BrokerPacket) => {
    await store.outgoingEnqueue({}, packet);
    outbound.push({ message: messageOf(packet), ...granted(packet), stored: true });
  };
  return { wire, outbound, publish };
}

test('nothing leaves before its packet id is in the store', async () => {
  const store = new Store();
  const { wire, publish } = open(store, { isNew: true });
  store.stall();
  await publish(packetOf(1));
  await publish(packetOf(2));
  await turn();
  expect(wire.packets).toEqual([]);
  store.answer();
  await turn();
  expect(wire.texts).toEqual(['1', '2']);
  expect(store.log).toEqual(['publish 1', 'publish 2']);
});

test('what is acknowledged is out of the store, and its packet id is not used before it is', async () => {
  const store = new Store();
  const { wire, outbound, publish } = open(store, { isNew: true });
  await publish(packetOf(1));
  await turn();
  store.stall();
  outbound.acknowledge(4, 1, 0);
  await turn();
  expect(outbound.pending).toBe(1);
  store.answer();
  await turn();
  expect(outbound.pending).toBe(0);
  expect(store.queue).toEqual([]);
  expect(wire.packets).toHaveLength(1);
});

test('a message that came while the store was read is sent once', async () => {
  const store = new Store();
  for (const n of [1, 2, 3]) store.queue.push(packetOf(n));
  const { wire, outbound, publish } = open(store);
  // The reading has begun.
  await publish(packetOf(4));
  for (let n = 0; n < 10; n++) {
    await turn();
    for (const { messageId } of wire.packets) outbound.acknowledge(4, messageId, 0);
  }
  expect(wire.texts).toEqual(['1', '2', '3', '4']);
  expect(store.queue).toEqual([]);
});

test('what was sent comes first, under its packet id, whatever the window; PUBREL goes again', async () => {
  const store = new Store();
  store.queue.push({ ...packetOf(1), messageId: 7 }, { cmd: 'pubrel', messageId: 9 }, packetOf(2));
  const { wire } = open(store, { maxQueuedSize: 10 });
  await turn();
  expect(wire.packets.map(({ cmd, messageId, dup }) => [cmd, messageId, dup])).toEqual([
    ['publish', 7, true],
    ['pubrel', 9, false],
    ['publish', 1, false],
  ]);
});

test('a queue of any length passes through a window of the size that is allowed', async () => {
  const store = new Store();
  for (let n = 1; n <= 200; n++) store.queue.push(packetOf(n, 1, `${n}`.padStart(100, '0')));
  const { wire, outbound, publish } = open(store, { maxQueuedSize: 1_000, outboundMaximum: 3 });
  let most = 0;
  for (let n = 201; n <= 210; n++) await publish(packetOf(n, 1, `${n}`.padStart(100, '0')));
  for (let at = 0; at < 210; ) {
    await turn();
    most = Math.max(most, outbound.pending);
    for (; at < wire.packets.length; at++) outbound.acknowledge(4, wire.packets[at]!.messageId, 0);
  }
  await turn();
  expect(wire.texts.map(Number)).toEqual(Array.from({ length: 210 }, (_, n) => n + 1));
  // Three in flight, three that are being taken out of the store, and half the window.
  expect(most).toBeLessThan(20);
  expect(store.queue).toEqual([]);
});

test('a message that the store does not have is sent all the same', async () => {
  const { wire, outbound } = open(new Store(), { isNew: true });
  outbound.push({ message: messageOf(packetOf(5)), ...granted(packetOf(5)), stored: true });
  await turn();
  expect(wire.texts).toEqual(['5']);
  outbound.acknowledge(4, wire.packets[0]!.messageId, 0);
  expect(outbound.pending).toBe(0);
});

test('what is not to be sent is taken out of the store', async () => {
  const store = new Store();
  store.queue.push(
    { ...packetOf(1), topic: 'secret/x' },
    { ...packetOf(2), messageExpiry: 999 },
    { ...packetOf(3), payload: Buffer.alloc(2_000) },
    { ...packetOf(4), messageExpiry: 2_500 },
  );
  const { wire } = open(store);
  await turn();
  await turn();
  expect(wire.texts).toEqual(['4']);
  expect(wire.packets[0]!.properties).toEqual({ messageExpiryInterval: 2 });
  expect(store.queue.map(({ brokerCounter }) => brokerCounter)).toEqual([4]);
});
