/** Sections 4.7 and 4.8: topic names and filters, shared subscriptions. */
import assert from 'node:assert/strict';
import { packet } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { both, type Case, each, NotApplicable, v4, v5 } from '../statement.ts';
import type { Talk } from '../talk.ts';
import { props } from './format.ts';

const subscribeTo = (s: Scene, filter: string): Buffer => packet(0x82, [0, 1], props(s), filter, [1]);

/** A filter that is not one: the connection ends, or its code in SUBACK says so. */
async function refusedFilter(s: Scene, filter: string): Promise<void> {
  const talk = await s.connect();
  talk.send(subscribeTo(s, filter));
  const answer = talk.next('suback').then((suback) => assert.ok(suback.granted[0] >= 0x80, filter));
  await Promise.any([answer, talk.closes()]);
}

async function noWildcardsInNames(s: Scene): Promise<void> {
  await s.endsAfter(packet(0x30, s.topic('#'), props(s)));
  await s.endsAfter(packet(0x30, s.topic('a+b'), props(s)));
}

/** Two that share a subscription. */
async function sharing(s: Scene, qos: 0 | 1 | 2, keep = false): Promise<[Talk, Talk]> {
  const filter = `$share/group/${s.topic()}`;
  const members = [keep ? await s.keep('b') : await s.connect('b'), await s.connect('c')] as [Talk, Talk];
  for (const member of members) {
    if (member.connack.properties?.sharedSubscriptionAvailable === false)
      throw new NotApplicable('it announces that there are none');
    const { granted } = await member.subscribe(filter, { qos });
    assert.deepEqual(granted, [qos]);
  }
  return members;
}

export const topics: Case[] = [
  ...both('4.7.1-1', '4.7.0-1', 'wildcards are for filters, not for names', noWildcardsInNames),
  ...both('4.7.1-2', '4.7.1-1', '# is alone or after a separator, and last', async (s) => {
    for (const filter of [s.topic('a#'), s.topic('#/a'), `#/${s.topic()}`]) await refusedFilter(s, filter);
    const listener = await s.connect('b');
    await listener.subscribe(s.topic('a/#'));
    const speaker = await s.connect();
    for (const rest of ['a', 'a/b', 'a/b/c', 'ab']) await speaker.deliver(s.topic(rest), rest);
    for (const rest of ['a', 'a/b', 'a/b/c']) await listener.message(rest);
    await listener.quiet();
  }),
  ...both('4.7.1-3', '4.7.1-2', '+ has a level for itself, any level', async (s) => {
    for (const filter of [s.topic('a+'), s.topic('+a/b')]) await refusedFilter(s, filter);
    const listener = await s.connect('b');
    await listener.subscribe([s.topic('+/b/+'), `+${s.topic('q/+').slice(1)}`]);
    const speaker = await s.connect();
    for (const rest of ['a/b/c', '/b/', 'a/b', 'a/b/c/d', 'q/r']) await speaker.deliver(s.topic(rest), rest);
    for (const rest of ['a/b/c', '/b/', 'q/r']) await listener.message(rest);
    await listener.quiet();
  }),
  ...both(
    '4.7.2-1',
    '4.7.2-1',
    'a filter that begins with a wildcard does not match a topic that begins with $',
    async (s) => {
      const listener = await s.connect('b');
      const mine = s.topic('dollar');
      await listener.subscribe(['#', `+${mine.slice(1)}`]);
      const speaker = await s.connect();
      await speaker.deliver(`$${mine}`, 'hidden');
      await speaker.deliver(mine, 'seen');
      await listener.message('seen');
      await listener.quiet('connack');
      assert.ok(!listener.packets.some(({ payload }) => String(payload) === 'hidden'));
    },
  ),
  ...both('4.7.3-1', '4.7.3-1', 'topics and filters have at least one character', async (s) => {
    await s.endsAfter(packet(0x30, '', props(s)));
    await refusedFilter(s, '');
  }),
  ...both('4.7.3-2', '4.7.3-2', 'and no U+0000', async (s) => {
    await s.endsAfter(packet(0x30, `${s.topic()}\0`, props(s)));
    await s.endsAfter(subscribeTo(s, `${s.topic()}\0`));
  }),
  ...both('4.7.3-3', '4.7.3-3', 'and at most 65,535 bytes', async (s) => {
    // A longer one cannot be said: its length has two bytes. The longest is taken, or refused; nothing breaks.
    const talk = await s.connect();
    talk.send(packet(0x30, 'x'.repeat(65_535), props(s)));
    talk.say({ cmd: 'pingreq' });
    await Promise.any([talk.next('pingresp'), talk.closes()]);
    await (await s.connect('b')).alive();
  }),
  ...both('4.7.3-4', '4.7.3-4', 'topics are compared as they are', async (s) => {
    const listener = await s.connect('b');
    await listener.subscribe([s.topic('Größe'), s.topic('a//b')]);
    const speaker = await s.connect();
    const others = ['Gro\u0308\u00dfe', 'GRÖSSE', 'größe', 'Größe/', '/Größe', 'a/b', 'a///b', ' a//b'];
    for (const rest of others) await speaker.deliver(s.topic(rest), rest);
    for (const rest of ['Größe', 'a//b']) await speaker.deliver(s.topic(rest), rest);
    for (const rest of ['Größe', 'a//b']) await listener.message(rest);
    await listener.quiet();
  }),
  ...each(
    v5,
    {
      '4.8.2-1': 'a share has a name',
      '4.8.2-2': 'without wildcards, and a filter behind it',
    },
    async (s) => {
      for (const filter of [
        `$share//${s.topic()}`,
        '$share/group',
        '$share/group/',
        `$share/g+/${s.topic()}`,
        `$share/g#/${s.topic()}`,
      ])
        await refusedFilter(s, filter);
    },
  ),
  v5('4.8.2-3', 'a share gets messages by the QoS that was granted', async (s) => {
    const members = await sharing(s, 1);
    const speaker = await s.connect();
    for (const payload of ['1', '2']) await speaker.deliver2(s.topic(), payload);
    const got = await everything(members, 2);
    assert.deepEqual(got.map(({ payload }) => String(payload)).sort(), ['1', '2']);
    assert.ok(got.every(({ qos }) => qos === 1));
  }),
  ...each(
    v5,
    {
      '4.8.2-4': 'a QoS 2 message that was begun with a member is completed with it when it is back',
      '4.8.2-5': 'and goes to no other when its session has ended',
    },
    async (s) => {
      const [first, second] = await sharing(s, 2, true);
      const speaker = await s.connect();
      for (const payload of ['1', '2']) await speaker.deliver2(s.topic(), payload);
      const mine = await everything([first], 1);
      await everything([second], 1);
      await first.drop();
      await second.quiet();
      const again = await s.keep('b');
      assert.equal((await again.message(String(mine[0].payload))).messageId, mine[0].messageId);
    },
  ),
  v5('4.8.2-6', 'a message that a member refuses goes to no other', async (s) => {
    const [first, second] = await sharing(s, 1);
    const speaker = await s.connect();
    for (const payload of ['1', '2']) await speaker.deliver(s.topic(), payload);
    for (const member of [first, second]) {
      const { messageId } = (await everything([member], 1))[0];
      member.say({ cmd: 'puback', messageId, reasonCode: 0x83 });
    }
    await first.quiet();
    await second.quiet();
  }),
  v4('4.8.0-1', 'a protocol violation ends the connection', async (s) => {
    await s.endsAfter(packet(0x82, [0, 1]));
    await s.endsAfter(packet(0x20, [0, 0]));
    await s.endsAfter(packet(0x00));
  }),
];

/** So many messages over several connections. */
async function everything(members: Talk[], count: number) {
  // biome-ignore lint/suspicious/noExplicitAny: as in Talk
  const got: any[] = [];
  for (let tries = 0; got.length < count && tries < 40; tries++) {
    for (const member of members) {
      const at = member.packets.findIndex(({ cmd }) => cmd === 'publish');
      if (at >= 0) got.push(...member.packets.splice(at, 1));
    }
    if (got.length < count) await members[0]!.quiet('connack');
  }
  assert.equal(got.length, count);
  return got;
}
