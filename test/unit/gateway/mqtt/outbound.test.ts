/** What leaves towards one client: in order, within its Receive Maximum, each acknowledged to whoever sent it. */
import { expect, test } from 'vitest';
import { openMetrics } from '../../../../common/metrics.ts';
import type { Ending } from '../../../../gateway/mqtt/dispatch.ts';
import { Outbound } from '../../../../gateway/mqtt/outbound.ts';
import { firstDispatchId } from '../../../../gateway/mqtt/packet-ids.ts';
import { ownMessage, type Parcel } from '../../../../gateway/mqtt/parcel.ts';
import { OutboundWire } from '../../../harness/outbound-wire.ts';

const metrics = openMetrics();
const opened = (wire: OutboundWire, maxQueuedSize = 10_000) =>
  new Outbound(wire, { settings: { maxQueuedSize }, clock: { now: () => 1_000_000 }, metrics });

const message = (text: string) => ({ topic: 'devices/d/commands/1/x', payload: Buffer.from(text) });
/** What was sent in one turn goes in one write, after it. */
const turn = async () => {
  for (let n = 0; n < 10; n++) await Promise.resolve();
};

test('no more are unacknowledged than the client takes, and they keep their order', async () => {
  const wire = new OutboundWire();
  const outbound = opened(wire);
  for (const text of ['1', '2', '3', '4']) outbound.send(message(text), () => {});
  await turn();
  expect(wire.packets.map(({ payload }) => payload.toString())).toEqual(['1', '2']);
  expect(outbound.acknowledge(4, wire.packets[1].messageId, 0)).toBe(true);
  await turn();
  expect(wire.packets.map(({ payload }) => payload.toString())).toEqual(['1', '2', '3']);
  expect(wire.packets.map(({ qos, dup }) => [qos, dup])).toEqual(Array(3).fill([1, false]));
  expect(new Set(wire.packets.map(({ messageId }) => messageId)).size).toBe(3);
  expect(Math.min(...wire.packets.map(({ messageId }) => messageId))).toBe(firstDispatchId);
});

test('whoever sent it hears how it ended', async () => {
  const wire = new OutboundWire();
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
  const wire = new OutboundWire();
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
  const wire = new OutboundWire();
  const outbound = opened(wire);
  const sent: number[] = [];
  outbound.send({ ...message('1'), again: 0xd000, sent: (packetId) => sent.push(packetId) }, () => {});
  outbound.send({ ...message('2'), sent: (packetId) => sent.push(packetId) }, () => {});
  await turn();
  expect(wire.packets.map(({ dup, messageId }) => [dup, messageId])).toEqual([
    [true, 0xd000],
    [false, firstDispatchId],
  ]);
  expect(sent).toEqual([0xd000, firstDispatchId]);
});

test('what is not ours to acknowledge is left to the broker', () => {
  expect(opened(new OutboundWire()).acknowledge(4, 7, 0)).toBe(false);
});

const parcel = (text: string, qos: 0 | 1 | 2, topic = 't'): Parcel => ({
  message: { ...ownMessage(topic, Buffer.from(text)), qos },
  qos,
  retain: false,
  identifiers: [],
  stored: false,
});

test('while the client does not read nothing is written, and then both kinds go by turns', async () => {
  const wire = new OutboundWire();
  const outbound = opened(wire);
  wire.congested = true;
  for (const text of ['a', 'b']) outbound.push(parcel(text, 0));
  for (const text of ['1', '2']) outbound.push(parcel(text, 1));
  await turn();
  expect(wire.packets).toEqual([]);
  wire.ease();
  await turn();
  expect(wire.texts).toEqual(['a', '1', 'b', '2']);
});

test('more than may wait: QoS 0 is missed and counted, QoS 1 ends the connection', async () => {
  const wire = new OutboundWire();
  const outbound = opened(wire, 300);
  wire.congested = true;
  for (let n = 0; n < 10; n++) outbound.push(parcel('x'.repeat(50), 0));
  expect((await metrics.messagesMissedTotal.get()).values[0]!.value).toBe(8);
  expect(wire.ended).toBe(false);
  const endings: string[] = [];
  outbound.push({ ...parcel('y', 1), ended: (ending) => endings.push(ending) > 1 });
  outbound.push({ ...parcel('y'.repeat(100), 1), ended: (ending) => endings.push(ending) > 1 });
  expect(wire.ended).toBe(true);
  expect(endings).toEqual(['closed']);
});

test('QoS 2: PUBREL answers PUBREC, again if it comes again, and PUBCOMP frees', async () => {
  const wire = new OutboundWire();
  const outbound = opened(wire);
  for (const text of ['1', '2', '3']) outbound.push(parcel(text, 2));
  await turn();
  expect(wire.texts).toEqual(['1', '2']);
  // What belongs to another QoS, or comes too early, says nothing.
  expect(outbound.acknowledge(4, 1, 0)).toBe(false);
  expect(outbound.acknowledge(7, 1, 0)).toBe(false);
  for (let n = 0; n < 2; n++) expect(outbound.acknowledge(5, 1, 0)).toBe(true);
  await turn();
  expect(wire.packets.filter(({ cmd }) => cmd === 'pubrel').map(({ messageId }) => messageId)).toEqual([
    1, 1,
  ]);
  expect(wire.texts).toEqual(['1', '2']);
  expect(outbound.acknowledge(7, 1, 0)).toBe(true);
  await turn();
  expect(wire.texts).toEqual(['1', '2', '3']);
});

test('what the client may not hear is not sent, unless whoever sends it has judged', async () => {
  const wire = new OutboundWire();
  const outbound = opened(wire);
  outbound.push(parcel('no', 0, 'secret/x'));
  outbound.push({ ...parcel('yes', 0, 'secret/x'), judged: true });
  await turn();
  expect(wire.texts).toEqual(['yes']);
});

test('what was sent in one turn is one write', async () => {
  const wire = new OutboundWire();
  wire.outboundMaximum = 100;
  let writes = 0;
  const write = wire.write.bind(wire);
  wire.write = (bytes) => {
    writes += 1;
    write(bytes);
  };
  const outbound = opened(wire);
  for (let n = 0; n < 50; n++) outbound.push(parcel(`${n}`, 1));
  await turn();
  expect(wire.packets).toHaveLength(50);
  expect(writes).toBe(1);
});
