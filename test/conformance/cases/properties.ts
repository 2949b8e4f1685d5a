/** Properties of an application message: handed on as they came (3.3.2.3), and what bounds them. */
import assert from 'node:assert/strict';
import { packet } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { type Case, each, NotApplicable, v5 } from '../statement.ts';

/** What a listener gets of a message that is published with properties. */
async function handedOn(s: Scene, properties: object, payload = 'carried') {
  const listener = await s.connect('b');
  await listener.subscribe(s.topic());
  await (await s.connect()).deliver(s.topic(), payload, { properties });
  return (await listener.message(payload)).properties ?? {};
}

const pair = (name: string, value: string): number[] => [
  38,
  ...[name, value].flatMap((text) => [0, text.length, ...Buffer.from(text)]),
];

async function userProperties(s: Scene): Promise<void> {
  const listener = await s.connect('b');
  await listener.subscribe(s.topic());
  const pairs = [pair('b', '1'), pair('a', '2'), pair('b', '3'), pair('c', '4')].flat();
  const speaker = await s.connect();
  speaker.send(packet(0x30, s.topic(), [pairs.length], pairs, [33]));
  await listener.message('!');
  assert.ok(listener.bytes.includes(Buffer.from(pairs)), 'the pairs come as they were sent');
}

async function noAliases(s: Scene): Promise<void> {
  for (const properties of [{}, { topicAliasMaximum: 0 }]) {
    const listener = await s.connect('b', { properties });
    await listener.subscribe(s.topic());
    const speaker = await s.connect();
    for (const payload of ['1', '2', '3']) {
      await speaker.deliver(s.topic(), payload);
      const got = await listener.message(payload);
      assert.equal(got.topic, s.topic());
      assert.equal(got.properties?.topicAlias, undefined);
    }
  }
}

export const properties: Case[] = [
  v5('3.3.2-4', 'the payload format indicator is handed on', async (s) => {
    assert.equal((await handedOn(s, { payloadFormatIndicator: true })).payloadFormatIndicator, true);
  }),
  v5('3.3.2-5', 'a message whose expiry has passed is not delivered', async (s) => {
    const away = await s.keep('b');
    await away.subscribe(s.topic(), { qos: 1 });
    await away.leave();
    const speaker = await s.connect();
    await speaker.deliver(s.topic(), 'short', { properties: { messageExpiryInterval: 1 } });
    await speaker.deliver(s.topic(), 'long', { properties: { messageExpiryInterval: 100 } });
    for (let waited = 0; waited < 2_200; waited += 150) await speaker.quiet();
    const again = await s.keep('b');
    await again.message('long');
    await again.quiet();
  }),
  v5('3.3.2-6', 'the expiry that is handed on is less by what it has waited', async (s) => {
    const away = await s.keep('b');
    await away.subscribe(s.topic(), { qos: 1 });
    await away.leave();
    const speaker = await s.connect();
    await speaker.deliver(s.topic(), 'aged', { properties: { messageExpiryInterval: 100 } });
    for (let waited = 0; waited < 2_200; waited += 150) await speaker.quiet();
    const { messageExpiryInterval } = (await (await s.keep('b')).message('aged')).properties;
    assert.ok(messageExpiryInterval >= 95 && messageExpiryInterval <= 98, `it is ${messageExpiryInterval}`);
  }),
  v5('3.3.2-7', 'topic aliases end with their connection', async (s) => {
    const first = await s.connect();
    if (first.connack.properties?.topicAliasMaximum)
      first.publish(s.topic(), 'named', { properties: { topicAlias: 1 } });
    await first.leave();
    await s.endsAfter(packet(0x30, '', [3, 0x23, 0, 1], [120]));
  }),
  v5('3.3.2-8', 'a topic alias of 0 is refused', async (s) => {
    await s.endsAfter(packet(0x30, s.topic(), [3, 0x23, 0, 0]));
  }),
  ...each(
    v5,
    {
      '3.2.2-17': 'a topic alias above the maximum that was announced gets 0x94',
      '3.2.2-18': 'a topic alias where none was announced gets 0x94',
      '3.3.2-9': 'a topic alias above the maximum gets 0x94',
    },
    async (s) => {
      const talk = await s.connect();
      const above = (talk.connack.properties?.topicAliasMaximum ?? 0) + 1;
      talk.send(packet(0x30, s.topic(), [3, 0x23, above >> 8, above & 255]));
      assert.equal(await talk.closes(), 0x94);
    },
  ),
  v5('3.3.2-12', 'topic aliases up to the maximum that was announced are accepted', async (s) => {
    const speaker = await s.connect();
    const most = speaker.connack.properties?.topicAliasMaximum ?? 0;
    if (most === 0) throw new NotApplicable('it announces none');
    const listener = await s.connect('b');
    await listener.subscribe(s.topic());
    await speaker.deliver(s.topic(), 'first', { properties: { topicAlias: most } });
    await speaker.deliver('', 'second', { properties: { topicAlias: most } });
    assert.equal((await listener.message('second')).topic, s.topic());
  }),
  ...each(
    v5,
    {
      '3.1.2-26': 'no topic alias above what the client takes',
      '3.1.2-27': 'no topic alias to a client that takes none',
      '3.3.2-11': 'no topic alias above the maximum of the client',
    },
    noAliases,
  ),
  v5('3.3.2-13', 'the response topic is UTF-8', async (s) => {
    await s.endsAfter(packet(0x30, s.topic(), [5, 8, 0, 2, 0xc3, 0x28]));
  }),
  v5('3.3.2-14', 'a response topic with a wildcard is refused', async (s) => {
    await s.endsAfter(packet(0x30, s.topic(), [6, 8, 0, 3, 0x61, 0x2f, 0x23]));
  }),
  v5('3.3.2-15', 'the response topic is handed on', async (s) => {
    assert.equal((await handedOn(s, { responseTopic: 'answer/here' })).responseTopic, 'answer/here');
  }),
  v5('3.3.2-16', 'correlation data is handed on', async (s) => {
    const correlationData = Buffer.from([0, 1, 0xff, 0xc3]);
    assert.deepEqual((await handedOn(s, { correlationData })).correlationData, correlationData);
  }),
  v5('3.3.2-17', 'user properties are handed on', userProperties),
  v5('3.3.2-18', 'user properties keep their order', userProperties),
  v5('3.3.2-19', 'the content type is UTF-8', async (s) => {
    await s.endsAfter(packet(0x30, s.topic(), [5, 3, 0, 2, 0xc3, 0x28]));
  }),
  v5('3.3.2-20', 'the content type is handed on', async (s) => {
    assert.equal((await handedOn(s, { contentType: 'text/plain; ü' })).contentType, 'text/plain; ü');
  }),
];
