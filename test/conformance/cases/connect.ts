/** Section 3.1: CONNECT, its flags and its payload. */
import assert from 'node:assert/strict';
import { connectBytes, packet } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { both, type Case, each, NotApplicable, v4, v5 } from '../statement.ts';
import { Talk } from '../talk.ts';
import { props } from './format.ts';

/** A CONNECT with any flags and any payload. */
const connect = (s: Scene, flags: number, ...payload: (string | number[])[]): Buffer =>
  packet(0x10, 'MQTT', [s.version, flags, 0, 60], props(s), ...payload);

const bare = (s: Scene, name: string, level: number): Buffer =>
  packet(0x10, name, [level, 2, 0, 60], level >= 5 ? [0] : [], s.id());

async function absentFields(s: Scene): Promise<void> {
  await s.turnedAway(connect(s, 0x82, s.id()));
  await s.turnedAway(connect(s, 0xc2, s.id(), 'user'));
}

async function surplusFields(s: Scene): Promise<void> {
  await s.turnedAway(connect(s, 2, s.id(), 'user'));
  await s.turnedAway(connect(s, 0x82, s.id(), 'user', 'password'));
}

async function fieldsAsFlagged(s: Scene): Promise<void> {
  const talk = await s.open();
  talk.send(connect(s, 0xc2, s.id(), 'user', 'password'));
  assert.equal(Talk.codeOf(await talk.next('connack')), 0);
}

async function foreignId(s: Scene): Promise<number | null> {
  if (s.peer.foreignId === null) throw new NotApplicable('it takes any client identifier of anybody');
  return s.turnedAway(connectBytes(s.peer.foreignId, s.version));
}

async function letters(s: Scene): Promise<void> {
  const talk = await s.open('letters');
  const { id } = s.peer.devices.letters;
  assert.match(id, /^[0-9a-zA-Z]{23}$/);
  assert.equal(Talk.codeOf(await talk.connect(id)), 0);
}

async function dataAfterRefusal(s: Scene): Promise<void> {
  const listener = await s.connect('b');
  await listener.subscribe(s.topic());
  const talk = await s.open();
  const refused =
    s.version === 4
      ? packet(0x10, 'MQTT', [4, 0, 0, 60], '')
      : connectBytes(s.id(), 5, { properties: { authenticationMethod: 'unheard-of' } });
  talk.send(Buffer.concat([refused, packet(0x30, s.topic(), props(s), [120])]));
  assert.notEqual(await talk.closes(), 0);
  await listener.quiet();
}

export const connecting: Case[] = [
  v4('3.1.2-1', 'a CONNECT with another protocol name is not processed by this specification', async (s) => {
    await s.turnedAway(bare(s, 'MQXX', 4));
  }),
  v5('3.1.2-1', 'a CONNECT with another protocol name than MQTT is not accepted', async (s) => {
    await s.turnedAway(bare(s, 'MQXX', 5));
  }),
  v4('3.1.2-2', 'a protocol level that is not spoken gets CONNACK 1, and the end', async (s) => {
    assert.equal(await s.turnedAway(bare(s, 'MQTT', 9)), 1);
  }),
  v5('3.1.2-2', 'a protocol version that is not spoken gets the end', async (s) => {
    await s.turnedAway(bare(s, 'MQTT', 6));
  }),
  ...both('3.1.2-3', '3.1.2-3', 'a reserved flag that is set ends the connection', async (s) => {
    await s.turnedAway(connect(s, 3, s.id()));
  }),
  ...both('3.1.2-9', '3.1.2-9', 'Will flag 1 needs topic and message in the payload', async (s) => {
    await s.turnedAway(connect(s, 6, s.id()));
    await s.turnedAway(connect(s, 6, s.id(), props(s), s.topic()));
  }),
  v4('3.1.2-11', 'Will flag 0 means no Will QoS, no Will retain, no Will fields', async (s) => {
    await s.turnedAway(connect(s, 0x2a, s.id()));
    await s.turnedAway(connect(s, 2, s.id(), s.topic(), 'will'));
  }),
  ...both('3.1.2-13', '3.1.2-11', 'Will flag 0 with a Will QoS is refused', async (s) => {
    await s.turnedAway(connect(s, 0x0a, s.id()));
    await s.turnedAway(connect(s, 0x12, s.id()));
  }),
  ...both('3.1.2-14', '3.1.2-12', 'Will QoS 3 is refused', async (s) => {
    await s.turnedAway(connect(s, 0x1e, s.id(), props(s), s.topic(), 'will'));
  }),
  ...both('3.1.2-15', '3.1.2-13', 'Will flag 0 with Will retain is refused', async (s) => {
    await s.turnedAway(connect(s, 0x22, s.id()));
  }),
  ...each(
    v4,
    { '3.1.2-18': 'no user name without its flag', '3.1.2-20': 'no password without its flag' },
    surplusFields,
  ),
  ...each(
    v5,
    { '3.1.2-16': 'no user name without its flag', '3.1.2-18': 'no password without its flag' },
    surplusFields,
  ),
  ...each(
    v4,
    { '3.1.2-19': 'a user name where its flag is set', '3.1.2-21': 'a password where its flag is set' },
    async (s) => {
      await absentFields(s);
      await fieldsAsFlagged(s);
    },
  ),
  ...each(
    v5,
    { '3.1.2-17': 'a user name where its flag is set', '3.1.2-19': 'a password where its flag is set' },
    async (s) => {
      await absentFields(s);
      await fieldsAsFlagged(s);
    },
  ),
  v4('3.1.2-22', 'a password without a user name is refused', async (s) => {
    await s.turnedAway(connect(s, 0x42, s.id(), 'password'));
  }),
  ...both('3.1.2-24', '3.1.2-22', 'silence of one and a half keep-alives ends the connection', async (s) => {
    const listener = await s.connect('b');
    await listener.subscribe(s.topic());
    const will = { topic: s.topic(), payload: Buffer.from('silent'), qos: 0 as const, retain: false };
    const talk = await s.connect('a', { keepalive: 1, will });
    await talk.closes(15_000);
    // As if the network had failed: with its Will.
    await listener.message('silent');
  }),
  ...both('3.1.3-1', '3.1.3-1', 'fields of the payload in their order', async (s) => {
    const listener = await s.connect('b');
    await listener.subscribe(s.topic());
    const talk = await s.open();
    talk.send(connect(s, 0xc6, s.id(), props(s), s.topic(), 'last', 'user', 'password'));
    assert.equal(Talk.codeOf(await talk.next('connack')), 0);
    await talk.drop();
    await listener.message('last');
  }),
  ...both('3.1.3-2', '3.1.3-2', 'the client identifier tells one session from another', async (s) => {
    const first = await s.keep('a');
    await first.subscribe(s.topic(), { qos: 1 });
    await first.leave();
    const other = await s.keep('b');
    assert.equal(other.connack.sessionPresent, false);
    await other.deliver(s.topic(), 'for a');
    await other.quiet();
    const again = await s.keep('a');
    assert.equal(again.connack.sessionPresent, true);
    await again.message('for a');
  }),
  ...both('3.1.3-3', '3.1.3-3', 'a client identifier is there', async (s) => {
    await s.turnedAway(connect(s, 2));
  }),
  ...both('3.1.3-4', '3.1.3-4', 'the client identifier is UTF-8', async (s) => {
    await s.turnedAway(connect(s, 2, [0, 2, 0xc3, 0x28]));
  }),
  v4('3.1.3-5', 'identifiers of 1 to 23 letters and digits are allowed', letters),
  v5('3.1.3-5', 'identifiers of 1 to 23 letters and digits are allowed', letters),
  v4('3.1.3-6', 'an empty identifier is replaced by one that is unique', async (s) => {
    const first = await s.open();
    assert.equal(Talk.codeOf(await first.connect('')), 0);
    await first.alive();
  }),
  v5('3.1.3-6', 'an empty identifier is replaced by one that is unique', async (s) => {
    const [first, second] = [await s.open(), await s.open()];
    await first.connect('');
    await second.connect('');
    assert.equal(first.connack.reasonCode, 0);
    assert.notEqual(
      first.connack.properties.assignedClientIdentifier,
      second.connack.properties.assignedClientIdentifier,
    );
    await first.alive();
  }),
  v5('3.1.3-7', 'and is told as the assigned client identifier', async (s) => {
    const talk = await s.open();
    const { properties } = await talk.connect('');
    assert.ok(properties.assignedClientIdentifier.length > 0);
  }),
  ...each(
    v4,
    {
      '3.1.3-7': 'an empty identifier needs a clean session',
      '3.1.3-8': 'an empty identifier without clean session gets CONNACK 2, and the end',
    },
    async (s) => assert.equal(await s.turnedAway(connect(s, 0, '')), 2),
  ),
  v4('3.1.3-9', 'an identifier that is refused gets CONNACK 2, and the end', async (s) => {
    assert.equal(await foreignId(s), 2);
  }),
  v5('3.1.3-8', 'an identifier that is refused gets 0x85, and the end', async (s) => {
    assert.equal(await foreignId(s), 0x85);
  }),
  ...both('3.1.3-10', '3.1.3-11', 'the Will topic is UTF-8', async (s) => {
    await s.turnedAway(connect(s, 6, s.id(), props(s), [0, 2, 0xc3, 0x28], 'will'));
  }),
  ...both('3.1.3-11', '3.1.3-12', 'the user name is UTF-8', async (s) => {
    await s.turnedAway(connect(s, 0x82, s.id(), [0, 2, 0xc3, 0x28]));
  }),
  v4('3.1.4-1', 'a CONNECT that is not well formed gets the end without a CONNACK', async (s) => {
    assert.equal(await s.turnedAway(connect(s, 3, s.id())), null);
    assert.equal(await s.turnedAway(packet(0x10, 'MQTT', [4, 2, 0, 60], s.id(), [1, 2, 3])), null);
  }),
  v5('3.1.4-1', 'a CONNECT that is not well formed gets the end', async (s) => {
    await s.turnedAway(packet(0x10, 'MQTT', [5, 2, 0, 60, 0], s.id(), [1, 2, 3]));
    await s.turnedAway(packet(0x10, 'MQTT', [5, 2, 0, 60, 1, 0x01], s.id()));
  }),
  v5('3.1.4-2', 'a CONNECT that is not authorized gets the end', async (s) => {
    const code = await foreignId(s);
    assert.ok(code !== null && code >= 0x80);
  }),
  ...both('3.1.4-2', '3.1.4-3', 'a client that connects again ends its older connection', async (s) => {
    const older = await s.connect();
    const newer = await s.connect();
    const code = await older.closes();
    if (s.version === 5) assert.equal(code, 0x8e);
    await newer.alive();
  }),
  ...both('3.1.4-3', '3.1.4-4', 'clean session or clean start does what it says', async (s) => {
    await (await s.keep()).drop();
    assert.equal((await s.keep()).connack.sessionPresent, true);
    assert.equal((await s.keep('a', { clean: true })).connack.sessionPresent, false);
  }),
  ...both('3.1.4-4', '3.1.4-5', 'a CONNECT that is accepted gets a CONNACK of 0', async (s) => {
    assert.equal(Talk.codeOf((await s.connect()).connack), 0);
  }),
  ...both('3.1.4-5', '3.1.4-6', 'what follows a refused CONNECT is not processed', dataAfterRefusal),
];
