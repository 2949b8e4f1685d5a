/** Sections 3.8 to 3.11: SUBSCRIBE and UNSUBSCRIBE with their answers. */
import assert from 'node:assert/strict';
import { packet } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { both, type Case, each, v4, v5 } from '../statement.ts';
import { props } from './format.ts';

const codesOf = (suback: { granted: (number | { qos: number })[] }): number[] => suback.granted as number[];

async function replaces(s: Scene): Promise<void> {
  const listener = await s.connect('b');
  const speaker = await s.connect();
  await speaker.deliver(s.topic(), 'kept', { retain: true });
  await listener.subscribe(s.topic(), { qos: 0 });
  await listener.message('kept');
  await listener.subscribe(s.topic(), { qos: 1 });
  await listener.message('kept');
  await speaker.deliver(s.topic(), 'live');
  assert.equal((await listener.message('live')).qos, 1);
  await listener.quiet();
}

async function several(s: Scene): Promise<void> {
  const listener = await s.connect('b');
  const speaker = await s.connect();
  await speaker.deliver(s.topic('b'), 'kept', { retain: true });
  const suback = await listener.subscribe([s.topic('a'), s.topic('b'), s.topic('c')], { qos: 1 });
  assert.deepEqual(codesOf(suback), [1, 1, 1]);
  await listener.message('kept');
  await speaker.deliver(s.topic('c'), 'live');
  await listener.message('live');
  await listener.quiet('suback');
}

async function codes(s: Scene): Promise<void> {
  const talk = await s.connect();
  const body = [s.topic('a'), [0], s.topic('b'), [1], s.topic('c'), [2], s.topic('d'), [0]];
  talk.send(packet(0x82, [0, 1], props(s), ...body));
  assert.deepEqual(codesOf(await talk.next('suback')), [0, 1, 2, 0]);
}

async function lowerOfTwo(s: Scene): Promise<void> {
  const listener = await s.connect('b');
  await listener.subscribe(s.topic('0'), { qos: 0 });
  await listener.subscribe(s.topic('1'), { qos: 1 });
  await listener.subscribe(s.topic('2'), { qos: 2 });
  const speaker = await s.connect();
  for (const granted of [0, 1, 2]) {
    const topic = s.topic(`${granted}`);
    speaker.publish(topic, `0-${granted}`);
    await speaker.deliver(topic, `1-${granted}`);
    await speaker.deliver2(topic, `2-${granted}`);
    for (const sent of [0, 1, 2])
      assert.equal((await listener.message(`${sent}-${granted}`)).qos, Math.min(sent, granted));
  }
}

async function unsubscribed(s: Scene): Promise<void> {
  const listener = await s.connect('b');
  const speaker = await s.connect();
  await listener.subscribe([s.topic('+'), s.topic('x')], { qos: 1 });
  await listener.unsubscribe(s.topic('+'));
  await speaker.deliver(s.topic('y'), 'gone');
  await speaker.deliver(s.topic('x'), 'here');
  await listener.message('here');
  await listener.quiet();
  // Compared as it is: what only matches stays.
  await listener.unsubscribe(s.topic('#'));
  await speaker.deliver(s.topic('x'), 'still');
  await listener.message('still');
}

async function smallSuback(s: Scene): Promise<void> {
  const talk = await s.connect('a', { properties: { maximumPacketSize: 30 } });
  const before = talk.bytes.length;
  talk.send(packet(0x82, [0, 1], props(s), '$SYS/x', [0], s.topic(), [1]));
  await talk.next('suback');
  assert.ok(talk.bytes.length - before <= 30);
  const between = talk.bytes.length;
  await talk.unsubscribe([s.topic(), s.topic('no')]);
  assert.ok(talk.bytes.length - between <= 30);
}

export const subscribing: Case[] = [
  ...both('3.8.1-1', '3.8.1-1', 'SUBSCRIBE with other flags than 2 ends the connection', async (s) => {
    await s.endsAfter(packet(0x80, [0, 1], props(s), s.topic(), [0]));
    await s.endsAfter(packet(0x8a, [0, 1], props(s), s.topic(), [0]));
  }),
  ...both('3.8.3-1', '3.8.3-1', 'topic filters are UTF-8', async (s) => {
    await s.endsAfter(packet(0x82, [0, 1], props(s), [0, 2, 0xc3, 0x28], [0]));
  }),
  v4('3.8.3-2', 'filters with wildcards are supported, or refused', async (s) => {
    const talk = await s.connect();
    assert.deepEqual(codesOf(await talk.subscribe([s.topic('+'), s.topic('#')])), [0, 0]);
  }),
  ...both('3.8.3-3', '3.8.3-2', 'SUBSCRIBE without a filter ends the connection', async (s) => {
    await s.endsAfter(packet(0x82, [0, 1], props(s)));
  }),
  v5('3.8.3-3', 'No Local: what a client says does not come back to it', async (s) => {
    const talk = await s.connect();
    await talk.subscribe(s.topic(), { nl: true });
    await talk.deliver(s.topic(), 'mine');
    await (await s.connect('b')).deliver(s.topic(), 'theirs');
    await talk.message('theirs');
    await talk.quiet();
  }),
  v5('3.8.3-4', 'No Local on a shared subscription is a protocol error', async (s) => {
    assert.equal(await s.endsAfter(packet(0x82, [0, 1, 0], `$share/g/${s.topic()}`, [4])), 0x82);
  }),
  v4('3.8.3-4', 'reserved bits or QoS 3 end the connection', async (s) => {
    for (const options of [3, 4, 0x80]) await s.endsAfter(packet(0x82, [0, 1], s.topic(), [options]));
  }),
  v5('3.8.3-5', 'reserved bits end the connection', async (s) => {
    for (const options of [3, 0x40, 0x80, 0x30])
      await s.endsAfter(packet(0x82, [0, 1, 0], s.topic(), [options]));
  }),
  ...both('3.8.4-1', '3.8.4-1', 'SUBSCRIBE is answered by SUBACK', async (s) => {
    await (await s.connect()).subscribe(s.topic());
  }),
  ...both('3.8.4-2', '3.8.4-2', 'with its identifier', async (s) => {
    await (await s.connect()).subscribe(s.topic(), { id: 0xbeef });
  }),
  ...both('3.8.4-3', '3.8.4-3', 'the same filter again replaces the subscription', replaces),
  v5('3.8.4-4', 'and retained messages come again, and none is lost', replaces),
  ...both('3.8.4-4', '3.8.4-5', 'several filters are as several SUBSCRIBEs, with one SUBACK', several),
  ...both('3.8.4-5', '3.8.4-6', 'SUBACK has a code for each filter', codes),
  v5('3.8.4-7', 'which says the QoS that was granted, or that it failed', codes),
  ...both('3.8.4-6', '3.8.4-8', 'messages come with the lower QoS of message and subscription', lowerOfTwo),
  ...both('3.9.3-1', '3.9.3-1', 'the codes are in the order of the filters', codes),
  v4('3.9.3-2', 'codes are 0, 1, 2 and 0x80', async (s) => {
    const talk = await s.connect();
    const granted = codesOf(await talk.subscribe(['$SYS/x', s.topic('a'), '$other/y'], { qos: 2 }));
    assert.ok(
      granted.every((code) => [0, 1, 2, 0x80].includes(code)),
      `${granted}`,
    );
  }),
  v5('3.9.3-2', 'codes are those of the table', async (s) => {
    const talk = await s.connect();
    const granted = codesOf(await talk.subscribe(['$SYS/x', s.topic('a'), '$other/y'], { qos: 2 }));
    const table = [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];
    assert.ok(
      granted.every((code) => table.includes(code)),
      `${granted}`,
    );
  }),
  ...each(
    v5,
    {
      '3.9.2-1': 'no reason string that makes SUBACK longer than the client takes',
      '3.9.2-2': 'no user property that makes SUBACK longer than the client takes',
      '3.11.2-1': 'no reason string that makes UNSUBACK longer than the client takes',
      '3.11.2-2': 'no user property that makes UNSUBACK longer than the client takes',
    },
    smallSuback,
  ),
  ...both('3.10.1-1', '3.10.1-1', 'UNSUBSCRIBE with other flags than 2 ends the connection', async (s) => {
    await s.endsAfter(packet(0xa0, [0, 1], props(s), s.topic()));
  }),
  ...both('3.10.3-1', '3.10.3-1', 'its filters are UTF-8', async (s) => {
    await s.endsAfter(packet(0xa2, [0, 1], props(s), [0, 2, 0xc3, 0x28]));
  }),
  ...both('3.10.3-2', '3.10.3-2', 'UNSUBSCRIBE without a filter ends the connection', async (s) => {
    await s.endsAfter(packet(0xa2, [0, 1], props(s)));
  }),
  ...both('3.10.4-1', '3.10.4-1', 'filters are compared as they are, and deleted', unsubscribed),
  ...both('3.10.4-2', '3.10.4-2', 'no new messages come of what was unsubscribed', unsubscribed),
  ...both('3.10.4-3', '3.10.4-3', 'what was begun to be delivered is completed', async (s) => {
    const listener = await s.keep('b');
    await listener.subscribe(s.topic(), { qos: 2 });
    await (await s.connect()).deliver2(s.topic(), 'begun');
    const { messageId } = await listener.message('begun');
    await listener.unsubscribe(s.topic());
    listener.say({ cmd: 'pubrec', messageId });
    assert.equal((await listener.next('pubrel')).messageId, messageId);
  }),
  ...both('3.10.4-4', '3.10.4-4', 'UNSUBSCRIBE is answered by UNSUBACK', async (s) => {
    const talk = await s.connect();
    await talk.subscribe(s.topic());
    assert.equal((await talk.unsubscribe(s.topic(), 0xcafe)).messageId, 0xcafe);
  }),
  ...both('3.10.4-5', '3.10.4-5', 'with its identifier, also where nothing was subscribed', async (s) => {
    const talk = await s.connect();
    assert.equal((await talk.unsubscribe(s.topic('nothing'), 0xcaff)).messageId, 0xcaff);
  }),
  ...both(
    '3.10.4-6',
    '3.10.4-6',
    'several filters are as several UNSUBSCRIBEs, with one UNSUBACK',
    async (s) => {
      const listener = await s.connect('b');
      await listener.subscribe([s.topic('a'), s.topic('b'), s.topic('c')]);
      await listener.unsubscribe([s.topic('a'), s.topic('b')]);
      await listener.quiet('unsuback');
      const speaker = await s.connect();
      for (const rest of ['a', 'b', 'c']) await speaker.deliver(s.topic(rest), rest);
      await listener.message('c');
      await listener.quiet();
    },
  ),
  v5('3.11.3-1', 'the codes of UNSUBACK are in the order of the filters', unsubackCodes),
  v5('3.11.3-2', 'and are those of the table', unsubackCodes),
];

async function unsubackCodes(s: Scene): Promise<void> {
  const talk = await s.connect();
  await talk.subscribe([s.topic('a'), s.topic('c')]);
  const { granted } = await talk.unsubscribe([s.topic('a'), s.topic('b'), s.topic('c')]);
  assert.deepEqual(granted, [0, 0x11, 0]);
}
