/** Chapters 1 and 2: texts, lengths, flags, packet identifiers. */
import assert from 'node:assert/strict';
import { connectBytes, packet } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { both, type Case, v4, v5 } from '../statement.ts';

/** The empty property block of MQTT 5. */
export const props = ({ version }: Scene): number[] => (version === 5 ? [0] : []);

const surrogate = [0, 3, 0xed, 0xa0, 0x80];

async function invalidFlags(scene: Scene): Promise<void> {
  const ping = await scene.connect();
  ping.send([0xc1, 0]);
  await ping.closes();
  const subscriber = await scene.connect();
  subscriber.send(packet(0x80, [0, 1], props(scene), scene.topic(), [0]));
  await subscriber.closes();
}

async function packetIdZero(scene: Scene): Promise<void> {
  await scene.endsAfter(packet(0x82, [0, 0], props(scene), scene.topic(), [0]));
  await scene.endsAfter(packet(0xa2, [0, 0], props(scene), scene.topic()));
  await scene.endsAfter(packet(0x32, scene.topic(), [0, 0], props(scene)));
}

export const format: Case[] = [
  ...both(
    '1.5.3-1',
    '1.5.4-1',
    'text that is not UTF-8, surrogates included, ends the connection',
    async (s) => {
      await s.endsAfter(packet(0x30, surrogate, props(s)));
      await s.endsAfter(packet(0x30, [0, 2, 0xc3, 0x28], props(s)));
      await s.turnedAway(packet(0x10, 'MQTT', [s.version, 2, 0, 60], props(s), surrogate));
    },
  ),
  ...both('1.5.3-2', '1.5.4-2', 'U+0000 in a text ends the connection', async (s) => {
    await s.endsAfter(packet(0x30, `${s.topic()}\0`, props(s)));
    await s.endsAfter(packet(0x82, [0, 1], props(s), `${s.topic()}\0`, [0]));
  }),
  ...both('1.5.3-3', '1.5.4-3', 'a byte order mark is U+FEFF and is not stripped', async (s) => {
    const listener = await s.connect('b');
    await listener.subscribe(s.topic('#'));
    await (await s.connect()).deliver(s.topic('\ufeffx'), 'mark');
    const { topic } = await listener.message('mark');
    assert.equal(topic, s.topic('\ufeffx'));
  }),
  v5('1.5.5-1', 'a variable byte integer is in its shortest form', async (s) => {
    const talk = await s.connect();
    await talk.subscribe(s.topic(), { qos: 1 });
    await talk.deliver(s.topic(), 'x'.repeat(200));
    await talk.message();
    for (let at = 0, { bytes } = talk; at < bytes.length; ) {
      let [value, shift, next] = [0, 0, at + 1];
      for (;;) {
        const byte = bytes[next++]!;
        value |= (byte & 127) << shift;
        shift += 7;
        if (byte < 128) {
          assert.ok(byte !== 0 || shift === 7, 'no length ends in a zero byte');
          break;
        }
      }
      at = next + value;
    }
    // And one that is not, among the properties, is malformed.
    await s.endsAfter(packet(0x30, s.topic(), [0x82, 0x80, 0, 1, 1]));
  }),
  v5('1.5.7-1', 'both texts of a pair are UTF-8', async (s) => {
    await s.endsAfter(packet(0x30, s.topic(), [8, 38, 0, 1, 0x61, 0, 2, 0xc3, 0x28]));
  }),
  v4('2.2.2-1', 'reserved flags have the value of the table', invalidFlags),
  v4('2.2.2-2', 'other flags end the connection', invalidFlags),
  v5('2.1.3-1', 'reserved flags that have another value are malformed', invalidFlags),
  v4(
    '2.3.1-1',
    'SUBSCRIBE, UNSUBSCRIBE and PUBLISH above QoS 0 have a packet identifier, never 0',
    packetIdZero,
  ),
  v5('2.2.1-3', 'a packet identifier is never 0', packetIdZero),
  ...both('2.3.1-4', '2.2.1-4', 'the server takes packet identifiers that are not in use', async (s) => {
    const listener = await s.connect('b');
    await listener.subscribe(s.topic(), { qos: 1 });
    const speaker = await s.connect();
    for (const payload of ['1', '2', '3', '4']) await speaker.deliver(s.topic(), payload);
    const ids = [];
    for (const payload of ['1', '2', '3', '4']) ids.push((await listener.message(payload)).messageId);
    assert.equal(new Set(ids).size, 4);
    assert.ok(!ids.includes(0));
  }),
  ...both('2.3.1-5', '2.2.1-2', 'a PUBLISH of QoS 0 has no packet identifier', async (s) => {
    const talk = await s.connect();
    await talk.subscribe(s.topic());
    talk.publish(s.topic(), 'zero');
    const got = await talk.message();
    assert.equal(got.messageId, undefined);
    assert.equal(String(got.payload), 'zero');
  }),
  ...both('2.3.1-6', '2.2.1-5', 'acknowledgements carry the identifier of their PUBLISH', async (s) => {
    const talk = await s.connect();
    await talk.deliver(s.topic(), 'one', { messageId: 0x1234 });
    talk.publish(s.topic(), 'two', { qos: 2, messageId: 0xfffe });
    assert.equal((await talk.next('pubrec')).messageId, 0xfffe);
    talk.say({ cmd: 'pubrel', messageId: 0xfffe });
    assert.equal((await talk.next('pubcomp')).messageId, 0xfffe);
  }),
  ...both('2.3.1-7', '2.2.1-6', 'SUBACK and UNSUBACK carry the identifier that was asked with', async (s) => {
    const talk = await s.connect();
    await talk.subscribe(s.topic(), { id: 0xabcd });
    assert.equal((await talk.unsubscribe(s.topic(), 0xbcde)).messageId, 0xbcde);
  }),
  v5('2.2.2-1', 'no properties are a length of zero', async (s) => {
    const talk = await s.connect();
    await talk.subscribe(s.topic(), { id: 9 });
    talk.publish(s.topic(), 'bare');
    await talk.message();
    assert.ok(talk.bytes.includes(Buffer.from([0x90, 4, 0, 9, 0, 0])), 'the SUBACK');
    assert.ok(
      talk.bytes.includes(Buffer.concat([Buffer.from(s.topic()), Buffer.from('\0bare')])),
      'the PUBLISH',
    );
  }),
  ...both('3.1.0-1', '3.1.0-1', 'the first packet is a CONNECT, or the connection ends', async (s) => {
    for (const bytes of [
      packet(0xc0),
      packet(0x30, s.topic(), props(s)),
      packet(0x82, [0, 1], props(s), 't', [0]),
    ]) {
      const talk = await s.open();
      talk.send(bytes);
      assert.equal(await talk.closes(), null);
    }
  }),
  ...both('3.1.0-2', '3.1.0-2', 'a second CONNECT ends the connection', async (s) => {
    const code = await s.endsAfter(connectBytes(s.id(), s.version));
    assert.ok(code === null || code === 0x82, `${code}`);
  }),
];
