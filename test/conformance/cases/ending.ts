/** PINGREQ, DISCONNECT, AUTH, the client's limits, and how errors end (3.1.2.11, 3.12, 3.14, 3.15, 4.2, 4.12, 4.13). */
import assert from 'node:assert/strict';
import { connectBytes, packet } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { both, type Case, each, NotApplicable, v4, v5 } from '../statement.ts';
import { Talk } from '../talk.ts';

const disconnectCodes = [
  0, 4, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
  0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];

/** Packets that break the protocol, with the reason code of its table or text. */
const broken: [bytes: number[], code: number][] = [
  [[0x36, 5, 0, 1, 0x74, 0, 1], 0x81],
  [[0xf0, 0], 0x82],
  [[0x82, 3, 0, 1, 0], 0x82],
];

async function lastWord(s: Scene, properties: object = {}): Promise<Talk> {
  const talk = await s.connect('a', { properties });
  talk.send(broken[0]![0]);
  await talk.closes();
  return talk;
}

async function smallDisconnect(s: Scene): Promise<void> {
  const talk = await lastWord(s, { maximumPacketSize: 24 });
  const size = talk.bytes.length - 2 - talk.bytes[1]!;
  assert.ok(size <= 24, `the DISCONNECT has ${size} bytes`);
}

async function largeMessages(s: Scene): Promise<void> {
  const listener = await s.connect('b', { properties: { maximumPacketSize: 150 } });
  await listener.subscribe(s.topic(), { qos: 1 });
  const speaker = await s.connect();
  await speaker.deliver(s.topic(), 'x'.repeat(500));
  await speaker.deliver(s.topic(), 'y', { properties: { userProperties: { name: 'z'.repeat(200) } } });
  await speaker.deliver(s.topic(), 'small');
  await listener.message('small');
  await listener.quiet();
  await listener.alive();
}

async function authRefused(s: Scene): Promise<number | null> {
  return s.turnedAway(connectBytes(s.id(), 5, { properties: { authenticationMethod: 'unheard-of' } }));
}

export const ending: Case[] = [
  ...each(
    v5,
    {
      '3.1.2-24': 'no packet is longer than the client takes',
      '3.1.2-25': 'what is too long for it counts as sent',
    },
    largeMessages,
  ),
  v5('3.1.2-28', 'no response information for who does not ask', async (s) => {
    const talk = await s.connect('a', { properties: { requestResponseInformation: false } });
    assert.equal(talk.connack.properties?.responseInformation, undefined);
  }),
  v5(
    '3.1.2-29',
    'without Request Problem Information: no reason string but on CONNACK, PUBLISH and DISCONNECT',
    async (s) => {
      const talk = await s.connect('a', { properties: { requestProblemInformation: false } });
      talk.publish(s.peer.forbidden, 'no', { qos: 1 });
      const puback = await talk.next('puback');
      talk.publish(s.peer.forbidden, 'no', { qos: 2 });
      const pubrec = await talk.next('pubrec');
      const suback = await talk.subscribe(['$SYS/x', s.topic()]);
      const unsuback = await talk.unsubscribe(s.topic('no'));
      for (const { properties } of [puback, pubrec, suback, unsuback]) {
        assert.equal(properties?.reasonString, undefined);
        assert.equal(properties?.userProperties, undefined);
      }
    },
  ),
  ...both('3.12.4-1', '3.12.4-1', 'PINGREQ is answered by PINGRESP', async (s) => {
    await (await s.connect()).alive();
  }),
  v4('3.14.1-1', 'DISCONNECT with reserved bits is refused', async (s) => {
    await s.endsAfter([0xe1, 0]);
  }),
  v5('3.14.0-1', 'no DISCONNECT before a CONNACK of less than 0x80', async (s) => {
    const talk = await s.open();
    await talk.connect(s.id(), { properties: { authenticationMethod: 'unheard-of' } });
    await talk.closes();
    await talk.quiet('disconnect');
  }),
  v5('3.14.1-1', 'DISCONNECT with reserved bits gets 0x81', async (s) => {
    assert.equal(await s.endsAfter([0xe1, 0]), 0x81);
  }),
  v5('3.14.2-1', 'DISCONNECT has a reason code of its table', async (s) => {
    for (const [bytes] of broken) {
      const code = await s.endsAfter(bytes);
      assert.ok(code === null || disconnectCodes.includes(code), `${code}`);
    }
  }),
  v5('3.14.2-2', 'and no session expiry', async (s) => {
    const said = (await lastWord(s)).packets.find(({ cmd }) => cmd === 'disconnect');
    assert.equal(said?.properties?.sessionExpiryInterval, undefined);
  }),
  ...each(
    v5,
    {
      '3.14.2-3': 'no reason string that makes it longer than the client takes',
      '3.14.2-4': 'no user property that makes it longer than the client takes',
    },
    smallDisconnect,
  ),
  ...each(
    v5,
    { '3.14.4-1': 'after DISCONNECT nothing is sent', '3.14.4-2': 'and the connection is closed' },
    async (s) => {
      const older = await s.connect();
      await older.subscribe(s.topic());
      const speaker = await s.connect('b');
      const newer = s.connect();
      for (let count = 0; count < 20; count++) speaker.publish(s.topic(), `${count}`);
      await newer;
      await older.closes();
      const said = older.packets.map(({ cmd }) => cmd);
      if (!said.includes('disconnect')) throw new NotApplicable('it sends no DISCONNECT');
      assert.equal(said.at(-1), 'disconnect');
    },
  ),
  v5('3.15.1-1', 'AUTH with other flags than 0 ends the connection', async (s) => {
    await s.endsAfter([0xf1, 0]);
  }),
  v5('4.2.0-1', 'the transport is an ordered, lossless stream of bytes', transport),
  v4('7.1.1-1', 'the transport is an ordered, lossless stream of bytes', transport),
  v5('4.12.0-1', 'an authentication method that is not known gets 0x8C or 0x87, and the end', async (s) => {
    const code = await authRefused(s);
    assert.ok(code === 0x8c || code === 0x87, `${code}`);
  }),
  v5('4.12.0-4', 'an authentication that fails gets the end', async (s) => {
    const code = await authRefused(s);
    assert.ok(code === null || code >= 0x80);
  }),
  v5('4.12.0-6', 'no AUTH and no authentication method for who did not bring one', async (s) => {
    const talk = await s.connect();
    assert.equal(talk.connack.properties?.authenticationMethod, undefined);
    await talk.quiet('auth');
  }),
  v5('4.12.0-7', 'AUTH of a client that brought no method is a protocol error', async (s) => {
    await s.endsAfter([0xf0, 0]);
  }),
  v5('4.13.1-1', 'a malformed packet or a protocol error ends the connection', async (s) => {
    for (const [bytes, code] of broken) {
      const said = await s.endsAfter(bytes);
      assert.ok(
        said === null || said === code || said === 0x81,
        `${said} for ${Buffer.from(bytes).toString('hex')}`,
      );
    }
  }),
  v5(
    '4.13.2-1',
    'a reason code of 0x80 and more in CONNACK or DISCONNECT is followed by the end',
    async (s) => {
      await authRefused(s);
      const code = await s.endsAfter(broken[0]![0]);
      assert.ok(code === null || code >= 0x80);
    },
  ),
  v5('3.2.2-15', 'a packet longer than Maximum Packet Size gets 0x95', async (s) => {
    const talk = await s.connect();
    const most = talk.connack.properties?.maximumPacketSize;
    if (most === undefined) throw new NotApplicable('it announces no maximum');
    talk.send([0x30, 0xff, 0xff, 0x7f]);
    assert.equal(await talk.closes(), 0x95);
  }),
  v4('7.0.0-2', 'no extension is needed to be understood', async (s) => {
    const talk = await s.open();
    talk.send(packet(0x10, 'MQTT', [4, 2, 0, 60], s.id()));
    assert.equal(Talk.codeOf(await talk.next('connack')), 0);
  }),
];

async function transport(s: Scene): Promise<void> {
  const talk = await s.open();
  // Byte by byte, and many packets at once: the packets are the same.
  for (const byte of connectBytes(s.id(), s.version)) talk.send([byte]);
  assert.equal(Talk.codeOf(await talk.next('connack')), 0);
  talk.send(Buffer.concat(Array(50).fill(Buffer.from([0xc0, 0]))));
  for (let count = 0; count < 50; count++) await talk.next('pingresp');
}
