/** Section 3.3: PUBLISH, its flags, its topic, and what is retained. */
import assert from 'node:assert/strict';
import { packet } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { both, type Case, each, v4, v5 } from '../statement.ts';
import type { Talk } from '../talk.ts';
import { props } from './format.ts';

/** A listener that comes after what was published, and what it gets. */
async function late(s: Scene, options: object = {}): Promise<Talk> {
  const listener = await s.connect('b');
  await listener.subscribe(s.topic(), options);
  return listener;
}

async function emptyRemoves(s: Scene): Promise<void> {
  const speaker = await s.connect();
  await speaker.deliver(s.topic(), 'kept', { retain: true });
  const here = await s.connect('c');
  await here.subscribe(s.topic());
  await here.message('kept');
  await speaker.deliver(s.topic(), '', { retain: true });
  const { payload } = await here.message();
  assert.equal(payload.length, 0);
  await (await late(s)).quiet();
}

async function notRetained(s: Scene): Promise<void> {
  const speaker = await s.connect();
  await speaker.deliver(s.topic(), 'kept', { retain: true });
  await speaker.deliver(s.topic(), 'passing');
  const listener = await late(s);
  await listener.message('kept');
  await listener.quiet();
}

async function replaced(s: Scene): Promise<void> {
  const speaker = await s.connect();
  await speaker.deliver(s.topic(), 'old', { retain: true });
  await speaker.deliver(s.topic(), 'new', { retain: true });
  const listener = await late(s, { qos: 1 });
  const got = await listener.message('new');
  assert.equal(got.retain, true);
  assert.equal(got.qos, 1);
  await listener.quiet();
}

async function byQos(s: Scene): Promise<void> {
  const talk = await s.connect();
  talk.publish(s.topic(), 'zero');
  await talk.quiet('puback');
  await talk.deliver(s.topic(), 'one');
  await talk.deliver2(s.topic(), 'two');
}

async function mostOfOverlapping(s: Scene): Promise<void> {
  const listener = await s.connect('b');
  await listener.subscribe(s.topic('#'), { qos: 0 });
  await listener.subscribe(s.topic('+'), { qos: 2 });
  await listener.subscribe(s.topic('y'), { qos: 1 });
  await (await s.connect()).deliver2(s.topic('y'), 'most');
  const first = await listener.message('most');
  await listener.quiet('connack');
  // One copy, or one for each of them.
  const copies = [first, ...listener.packets.filter(({ cmd }) => cmd === 'publish')];
  assert.equal(Math.max(...copies.map((copy) => copy.qos)), 2);
}

export const publishing: Case[] = [
  ...both('3.3.1-2', '3.3.1-2', 'DUP is 0 at QoS 0', async (s) => {
    const listener = await s.connect('b');
    await listener.subscribe(s.topic());
    await (await s.connect()).deliver(s.topic(), 'down', { dup: true });
    assert.equal((await listener.message('down')).dup, false);
  }),
  ...both('3.3.1-3', '3.3.1-3', 'DUP of what came in is not handed on', async (s) => {
    const listener = await s.connect('b');
    await listener.subscribe(s.topic(), { qos: 1 });
    await (await s.connect()).deliver(s.topic(), 'again', { dup: true });
    assert.equal((await listener.message('again')).dup, false);
  }),
  ...both('3.3.1-4', '3.3.1-4', 'QoS 3 ends the connection', async (s) => {
    const code = await s.endsAfter(packet(0x36, s.topic(), [0, 1], props(s)));
    if (s.version === 5) assert.equal(code, 0x81);
  }),
  ...both('3.3.1-5', '3.3.1-5', 'RETAIN 1 stores the message in place of the one before', replaced),
  v4(
    '3.3.1-6',
    'a new subscription gets the last retained message of every topic that matches',
    async (s) => {
      const speaker = await s.connect();
      await speaker.deliver(s.topic('a'), 'a', { retain: true });
      await speaker.deliver(s.topic('b'), 'b', { retain: true });
      const listener = await s.connect('b');
      await listener.subscribe(s.topic('+'));
      await listener.message('a');
      await listener.message('b');
    },
  ),
  v4('3.3.1-7', 'RETAIN at QoS 0 discards what was retained before', async (s) => {
    const speaker = await s.connect();
    await speaker.deliver(s.topic(), 'old', { retain: true });
    speaker.publish(s.topic(), 'new', { retain: true });
    await speaker.alive();
    const listener = await late(s);
    await listener.message('new');
    await listener.quiet();
  }),
  v4('3.3.1-8', 'what comes because of a new subscription has RETAIN 1', async (s) => {
    await (await s.connect()).deliver(s.topic(), 'kept', { retain: true });
    assert.equal((await (await late(s)).message('kept')).retain, true);
  }),
  v4('3.3.1-9', 'what comes on an established subscription has RETAIN 0', async (s) => {
    const listener = await late(s);
    await (await s.connect()).deliver(s.topic(), 'live', { retain: true });
    assert.equal((await listener.message('live')).retain, false);
  }),
  v4('3.3.1-10', 'an empty retained message is delivered, and removes what was retained', emptyRemoves),
  v5('3.3.1-6', 'an empty retained message is delivered, and removes what was retained', emptyRemoves),
  v4('3.3.1-11', 'an empty message is never retained', emptyRemoves),
  v5('3.3.1-7', 'an empty message is never retained', emptyRemoves),
  v4('3.3.1-12', 'RETAIN 0 neither stores nor removes', notRetained),
  v5('3.3.1-8', 'RETAIN 0 neither stores nor removes', notRetained),
  v5('3.3.1-9', 'Retain Handling 0: retained messages are sent at every SUBSCRIBE', async (s) => {
    await (await s.connect()).deliver(s.topic(), 'kept', { retain: true });
    const listener = await late(s);
    await listener.message('kept');
    await listener.subscribe(s.topic());
    await listener.message('kept');
  }),
  v5('3.3.1-10', 'Retain Handling 1: only when the subscription is new', async (s) => {
    await (await s.connect()).deliver(s.topic(), 'kept', { retain: true });
    const listener = await late(s, { rh: 1 });
    await listener.message('kept');
    await listener.subscribe(s.topic(), { rh: 1 });
    await listener.quiet();
  }),
  v5('3.3.1-11', 'Retain Handling 2: never', async (s) => {
    await (await s.connect()).deliver(s.topic(), 'kept', { retain: true });
    await (await late(s, { rh: 2 })).quiet();
  }),
  v5('3.3.1-12', 'Retain As Published 0: RETAIN is 0', async (s) => {
    const listener = await late(s);
    await (await s.connect()).deliver(s.topic(), 'live', { retain: true });
    assert.equal((await listener.message('live')).retain, false);
  }),
  v5('3.3.1-13', 'Retain As Published 1: RETAIN is as it was', async (s) => {
    const listener = await late(s, { rap: true });
    const speaker = await s.connect();
    await speaker.deliver(s.topic(), 'kept', { retain: true });
    await speaker.deliver(s.topic(), 'passing');
    assert.equal((await listener.message('kept')).retain, true);
    assert.equal((await listener.message('passing')).retain, false);
  }),
  ...both('3.3.2-1', '3.3.2-1', 'the topic comes first, and is UTF-8', async (s) => {
    await s.endsAfter(packet(0x30, [0, 2, 0xc3, 0x28], props(s)));
    await s.endsAfter(packet(0x30, [0xff, 0xff, 0x61]));
  }),
  ...both('3.3.2-2', '3.3.2-2', 'a topic with a wildcard is refused', async (s) => {
    await s.endsAfter(packet(0x30, s.topic('+'), props(s)));
    await s.endsAfter(packet(0x30, s.topic('#'), props(s)));
  }),
  ...both('3.3.2-3', '3.3.2-3', 'the topic that is delivered matches the filter', async (s) => {
    const listener = await s.connect('b');
    await listener.subscribe([s.topic('+/b'), s.topic('c/#')]);
    const speaker = await s.connect();
    for (const rest of ['a/b', 'c', 'c/d/e', 'a/c', 'b']) await speaker.deliver(s.topic(rest), rest);
    for (const rest of ['a/b', 'c', 'c/d/e'])
      assert.equal((await listener.message(rest)).topic, s.topic(rest));
    await listener.quiet();
  }),
  ...both('3.3.4-1', '3.3.4-1', 'a PUBLISH is answered as its QoS asks', byQos),
  ...both(
    '3.3.5-1',
    '3.3.4-2',
    'overlapping subscriptions: the highest QoS of them is respected',
    mostOfOverlapping,
  ),
  v4('3.3.5-2', 'a PUBLISH that is not allowed is acknowledged, or ends the connection', async (s) => {
    const talk = await s.connect();
    talk.publish(s.peer.forbidden, 'no', { qos: 1 });
    await Promise.any([talk.next('puback'), talk.closes()]);
  }),
  v5('3.3.4-6', 'a PUBLISH with a subscription identifier is refused', async (s) => {
    await s.endsAfter(packet(0x30, s.topic(), [2, 11, 1]));
  }),
  ...each(
    v5,
    {
      '3.3.4-3': 'subscription identifiers of what matches are sent along',
      '3.3.4-4': 'one copy carries the identifiers of all that match',
      '3.3.4-5': 'several copies carry each the identifier of their subscription',
    },
    async (s) => {
      const listener = await s.connect('b');
      await listener.subscribe(s.topic('#'), { properties: { subscriptionIdentifier: 7 } });
      await listener.subscribe(s.topic('+'), { properties: { subscriptionIdentifier: 300 } });
      await listener.subscribe(s.topic('y'));
      await (await s.connect()).deliver(s.topic('y'), 'named');
      const seen = [];
      const first = await listener.message('named');
      await listener.quiet('connack');
      for (const { properties } of [first, ...listener.packets.filter(({ cmd }) => cmd === 'publish')])
        seen.push(...[properties?.subscriptionIdentifier ?? []].flat());
      assert.deepEqual(
        seen.sort((a, b) => a - b),
        [7, 300],
      );
    },
  ),
];
