/** Section 3.2: CONNACK. */
import assert from 'node:assert/strict';
import { connectBytes, packet } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { both, type Case, each, NotApplicable, v4, v5 } from '../statement.ts';
import { Talk } from '../talk.ts';

/** CONNACK reason codes of MQTT 5 (section 3.2.2.2). */
const connackCodes = [
  0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a,
  0x9b, 0x9c, 0x9d, 0x9f,
];

/** A CONNECT that no server of the two accepts, with its CONNACK. */
async function refused(s: Scene, properties: object = {}): Promise<Talk> {
  const talk = await s.open();
  talk.send(
    s.version === 4
      ? packet(0x10, 'MQTT', [4, 0, 0, 60], '')
      : connectBytes(s.id(), 5, { properties: { authenticationMethod: 'unheard-of', ...properties } }),
  );
  talk.connack = await talk.next('connack');
  return talk;
}

async function smallRefusal(s: Scene): Promise<void> {
  const talk = await refused(s, { maximumPacketSize: 20 });
  assert.ok(Talk.codeOf(talk.connack) >= 0x80);
  assert.ok(talk.bytes.length <= 20, `the CONNACK has ${talk.bytes.length} bytes`);
}

export const connack: Case[] = [
  v4('3.2.0-1', 'the first packet from the server is a CONNACK', firstIsConnack),
  v5('3.2.0-1', 'no packet comes before a CONNACK of 0', firstIsConnack),
  v5('3.2.0-2', 'there is one CONNACK', async (s) => {
    const talk = await s.connect();
    await talk.subscribe(s.topic());
    await talk.alive();
    await talk.quiet('connack');
  }),
  v5('3.2.2-1', 'bits 7 to 1 of its flags are 0', async (s) => {
    await (await s.keep()).drop();
    const again = await s.keep();
    assert.equal(again.connack.sessionPresent, true);
    assert.equal(again.bytes[2], 1);
  }),
  ...both('3.2.2-1', '3.2.2-2', 'clean: session present is 0', async (s) => {
    await (await s.keep()).drop();
    const talk = await s.keep('a', { clean: true });
    assert.equal(talk.connack.sessionPresent, false);
  }),
  v4('3.2.2-2', 'a session that is kept is session present 1', async (s) => {
    // One without subscriptions is one as well.
    await (await s.keep()).leave();
    assert.equal((await s.keep()).connack.sessionPresent, true);
  }),
  v4('3.2.2-3', 'no session is session present 0', async (s) => {
    assert.equal((await s.keep()).connack.sessionPresent, false);
  }),
  v5('3.2.2-3', 'session present says whether there is a session', async (s) => {
    assert.equal((await s.keep()).connack.sessionPresent, false);
    assert.equal((await s.keep()).connack.sessionPresent, true);
  }),
  ...both('3.2.2-4', '3.2.2-6', 'a refusal has session present 0', async (s) => {
    const { connack } = await refused(s);
    assert.notEqual(Talk.codeOf(connack), 0);
    assert.equal(connack.sessionPresent, false);
  }),
  ...both('3.2.2-5', '3.2.2-7', 'a refusal is followed by the end', async (s) => {
    const talk = await refused(s);
    await talk.closes();
  }),
  v5('3.2.2-8', 'its reason code is one of the table', async (s) => {
    assert.ok(connackCodes.includes(Talk.codeOf((await s.connect()).connack)));
    assert.ok(connackCodes.includes(Talk.codeOf((await refused(s)).connack)));
  }),
  v5('3.2.2-9', 'Maximum QoS is sent where QoS 1 or 2 is not supported', async (s) => {
    const talk = await s.connect();
    assert.equal(talk.connack.properties?.maximumQoS, undefined);
    await talk.deliver(s.topic(), 'one');
    await talk.deliver2(s.topic(), 'two');
  }),
  v5('3.2.2-10', 'a SUBSCRIBE of any QoS is accepted', async (s) => {
    const talk = await s.connect();
    for (const qos of [0, 1, 2] as const)
      assert.deepEqual((await talk.subscribe(s.topic(), { qos })).granted, [qos]);
  }),
  ...each(
    v5,
    {
      '3.2.2-16': 'an empty client identifier gets one that no other session has',
    },
    async (s) => {
      const used = new Set<string>();
      for (let count = 0; count < 3; count++) {
        const { properties } = await (await s.open()).connect('');
        used.add(properties.assignedClientIdentifier);
      }
      assert.equal(used.size, 3);
    },
  ),
  ...each(
    v5,
    {
      '3.2.2-19': 'no reason string that makes it longer than the client takes',
      '3.2.2-20': 'no user property that makes it longer than the client takes',
    },
    smallRefusal,
  ),
  v5('3.2.2-22', 'without a Server Keep Alive the one of the client holds', async (s) => {
    const talk = await s.connect('a', { keepalive: 2 });
    if (talk.connack.properties?.serverKeepAlive !== undefined)
      throw new NotApplicable('it sends a keep-alive of its own');
    await talk.closes(15_000);
  }),
];

async function firstIsConnack(s: Scene): Promise<void> {
  const listener = await s.keep('b');
  await listener.subscribe(s.topic(), { qos: 1 });
  await listener.leave();
  await (await s.connect()).deliver(s.topic(), 'waits');
  const talk = await s.open('b');
  const properties = s.version === 5 ? { sessionExpiryInterval: 300 } : undefined;
  talk.send(connectBytes(s.id('b'), s.version, { clean: false, properties } as never));
  await talk.message('waits');
  assert.equal(talk.bytes[0], 0x20);
}
