/** Sessions: kept, resumed, discarded (3.1.2.4, 3.1.2.11.2, 4.1, 4.4, 4.5). */
import assert from 'node:assert/strict';
import type { Scene } from '../scene.ts';
import { both, type Case, each, v4, v5 } from '../statement.ts';
import type { Talk } from '../talk.ts';

async function resumed(s: Scene): Promise<void> {
  const first = await s.keep('b');
  await first.subscribe(s.topic(), { qos: 1 });
  await first.drop();
  const again = await s.keep('b');
  assert.equal(again.connack.sessionPresent, true);
  await (await s.connect()).deliver(s.topic(), 'heard');
  await again.message('heard');
}

async function stored(s: Scene): Promise<void> {
  const first = await s.keep('b');
  await first.subscribe(s.topic(), { qos: 2 });
  await first.leave();
  const speaker = await s.connect();
  await speaker.deliver(s.topic(), 'one');
  await speaker.deliver2(s.topic(), 'two');
  const again = await s.keep('b');
  assert.equal((await again.message('one')).qos, 1);
  assert.equal((await again.message('two')).qos, 2);
}

async function discarded(s: Scene): Promise<void> {
  const first = await s.keep('b');
  await first.subscribe(s.topic(), { qos: 1 });
  await first.leave();
  const clean = await s.connect('b');
  assert.equal(clean.connack.sessionPresent, false);
  await (await s.connect()).deliver(s.topic(), 'lost');
  await clean.quiet();
  await clean.leave();
  const last = await s.keep('b');
  assert.equal(last.connack.sessionPresent, false);
  await last.quiet();
}

/** A listener that got a QoS 1 and a QoS 2 message and said nothing, back again. */
async function unacknowledged(s: Scene): Promise<{ first: Talk; again: Talk; ids: number[] }> {
  const first = await s.keep('b');
  await first.subscribe(s.topic(), { qos: 2 });
  const speaker = await s.connect();
  await speaker.deliver(s.topic(), 'one');
  await speaker.deliver2(s.topic(), 'two');
  const ids = [(await first.message('one')).messageId, (await first.message('two')).messageId];
  await first.drop();
  return { first, again: await s.keep('b'), ids };
}

export const session: Case[] = [
  ...both('3.1.2-4', '3.1.2-5', 'a session that was kept is resumed', resumed),
  ...both('3.1.2-5', '3.1.2-23', 'QoS 1 and 2 messages are kept for a session that is away', stored),
  ...both('3.1.2-6', '3.1.2-4', 'clean discards what was, and what comes of it', discarded),
  v5('3.1.2-6', 'without a session a new one is made', async (s) => {
    const talk = await s.keep('b');
    assert.equal(talk.connack.sessionPresent, false);
    await talk.subscribe(s.topic(), { qos: 1 });
    await (await s.connect()).deliver(s.topic(), 'new');
    await talk.message('new');
  }),
  v4('3.1.2-7', 'retained messages outlive sessions', async (s) => {
    const speaker = await s.connect();
    await speaker.deliver(s.topic(), 'stays', { retain: true });
    await speaker.leave();
    const listener = await s.connect('b');
    await listener.subscribe(s.topic());
    await listener.message('stays');
  }),
  ...both('4.1.0-1', '4.1.0-1', 'the session is there as long as its connection', async (s) => {
    const listener = await s.connect(
      'b',
      s.version === 5 ? { properties: { sessionExpiryInterval: 1 } } : {},
    );
    await listener.subscribe(s.topic(), { qos: 1 });
    const speaker = await s.connect();
    await listener.quiet();
    await speaker.deliver(s.topic(), 'still');
    await listener.message('still');
  }),
  v4('4.1.0-2', 'and lasts at least as long as it', async (s) => {
    const listener = await s.connect('b');
    await listener.subscribe(s.topic(), { qos: 1 });
    for (let round = 0; round < 3; round++) await listener.alive();
    await (await s.connect()).deliver(s.topic(), 'still');
    await listener.message('still');
  }),
  v5('4.1.0-2', 'it is discarded when its expiry has passed', async (s) => {
    const away = await s.keep('b', { properties: { sessionExpiryInterval: 1 } });
    await away.subscribe(s.topic(), { qos: 1 });
    const gone = await s.keep('c', { properties: { sessionExpiryInterval: 0 } });
    await gone.leave();
    assert.equal((await s.keep('c')).connack.sessionPresent, false);
    await away.leave();
    const speaker = await s.connect();
    for (let round = 0; round < 24; round++) await speaker.quiet('publish');
    assert.equal((await s.keep('b')).connack.sessionPresent, false);
  }),
  ...both(
    '4.4.0-1',
    '4.4.0-1',
    'what was not acknowledged is sent again with its identifier, PUBREL too',
    async (s) => {
      const { again, ids } = await unacknowledged(s);
      const one = await again.message('one');
      const two = await again.message('two');
      assert.deepEqual([one.messageId, two.messageId], ids);
      again.say({ cmd: 'puback', messageId: ids[0] });
      again.say({ cmd: 'pubrec', messageId: ids[1] });
      assert.equal((await again.next('pubrel')).messageId, ids[1]);
      await again.drop();
      const third = await s.keep('b');
      assert.equal((await third.next('pubrel')).messageId, ids[1]);
      third.say({ cmd: 'pubcomp', messageId: ids[1] });
      await third.quiet();
    },
  ),
  ...both('3.3.1-1', '3.3.1-1', 'what is sent again has DUP set', async (s) => {
    const { again } = await unacknowledged(s);
    assert.equal((await again.message('one')).dup, true);
    assert.equal((await again.message('two')).dup, true);
  }),
  v4('4.6.0-1', 'and comes in its old order', inOldOrder),
  v5('4.6.0-1', 'what is sent again comes in its old order', inOldOrder),
  v5('4.4.0-2', 'PUBACK or PUBREC of 0x80 and more ends a message: it is not sent again', async (s) => {
    const listener = await s.keep('b');
    await listener.subscribe(s.topic(), { qos: 2 });
    const speaker = await s.connect();
    await speaker.deliver(s.topic(), 'one');
    await speaker.deliver2(s.topic(), 'two');
    listener.say({ cmd: 'puback', messageId: (await listener.message('one')).messageId, reasonCode: 0x83 });
    listener.say({ cmd: 'pubrec', messageId: (await listener.message('two')).messageId, reasonCode: 0x83 });
    await listener.alive();
    await listener.quiet('pubrel');
    await listener.drop();
    await (await s.keep('b')).quiet();
  }),
  ...both(
    '4.5.0-1',
    '4.5.0-1',
    'a message that was accepted goes to every session that matches',
    async (s) => {
      const away = await s.keep('b');
      await away.subscribe(s.topic('+'), { qos: 1 });
      await away.leave();
      const here = await s.connect('c');
      await here.subscribe(s.topic('#'), { qos: 1 });
      await (await s.connect()).deliver(s.topic('y'), 'all');
      await here.message('all');
      await (await s.keep('b')).message('all');
    },
  ),
  ...each(
    v4,
    {
      '4.6.0-5': 'topics are ordered',
      '4.6.0-6': 'messages of one client, topic and QoS come in their order',
    },
    ordered,
  ),
  ...each(
    v5,
    {
      '4.6.0-5': 'messages of one client, topic and QoS come in their order',
      '4.6.0-6': 'every topic is ordered where no share is',
    },
    ordered,
  ),
];

async function inOldOrder(s: Scene): Promise<void> {
  const first = await s.keep('b');
  await first.subscribe(s.topic(), { qos: 1 });
  const speaker = await s.connect();
  for (const payload of ['1', '2', '3', '4', '5']) await speaker.deliver(s.topic(), payload);
  await first.message('5');
  await first.drop();
  const again = await s.keep('b');
  const order = [];
  for (let count = 0; count < 5; count++) order.push(String((await again.message()).payload));
  assert.deepEqual(order, ['1', '2', '3', '4', '5']);
}

async function ordered(s: Scene): Promise<void> {
  const listener = await s.connect('b');
  await listener.subscribe(s.topic(), { qos: 1 });
  const speaker = await s.connect();
  const sent = Array.from({ length: 12 }, (_, index) => `${index}`);
  for (const payload of sent) speaker.publish(s.topic(), payload, { qos: 1 });
  const got = [];
  for (const _ of sent) {
    const { payload, messageId } = await listener.message();
    got.push(String(payload));
    listener.say({ cmd: 'puback', messageId });
  }
  assert.deepEqual(got, sent);
}
