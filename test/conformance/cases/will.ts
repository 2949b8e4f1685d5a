/** The Will: stored, published, removed (3.1.2.5 to 3.1.2.7, 3.1.3.2, 3.14.4). */
import assert from 'node:assert/strict';
import type { IConnectPacket } from 'mqtt-packet';
import type { Scene } from '../scene.ts';
import { both, type Case, each, v4, v5 } from '../statement.ts';
import { quietMs, type Talk } from '../talk.ts';

type Will = NonNullable<IConnectPacket['will']>;

const willOf = (s: Scene, more: Partial<Will> = {}): { will: Will } => ({
  will: { topic: s.topic(), payload: Buffer.from('will'), qos: 0, retain: false, ...more },
});

async function listening(s: Scene, options: object = {}): Promise<Talk> {
  const listener = await s.connect('b');
  await listener.subscribe(s.topic(), options);
  return listener;
}

async function publishedOnDrop(s: Scene): Promise<void> {
  const listener = await listening(s, { qos: 1 });
  const talk = await s.connect('a', willOf(s, { qos: 1 }));
  await listener.quiet();
  await talk.drop();
  assert.equal((await listener.message('will')).qos, 1);
}

async function notPublishedAfterDisconnect(s: Scene): Promise<void> {
  const listener = await listening(s);
  const talk = await s.connect('a', willOf(s));
  await talk.leave();
  await listener.quiet();
}

export const will: Case[] = [
  v4(
    '3.1.2-8',
    'a Will is stored and published when the connection ends without DISCONNECT',
    publishedOnDrop,
  ),
  v5('3.1.2-7', 'a Will is stored with the session', publishedOnDrop),
  v5('3.1.2-8', 'it is published when its delay has passed or the session ends', async (s) => {
    const listener = await listening(s);
    const delayed = await s.connect('a', {
      ...willOf(s, { payload: Buffer.from('delayed'), properties: { willDelayInterval: 2 } }),
      properties: { sessionExpiryInterval: 60 },
    });
    await delayed.drop();
    await listener.quiet();
    await listener.message('delayed');
    const ending = await s.connect(
      'c',
      willOf(s, { payload: Buffer.from('ends'), properties: { willDelayInterval: 60 } }),
    );
    await ending.drop();
    await listener.message('ends');
  }),
  ...both('3.1.2-10', '3.1.2-10', 'a Will is gone once it was published or DISCONNECT came', async (s) => {
    const listener = await listening(s);
    const kept = await s.keep('a', willOf(s));
    await kept.drop();
    await listener.message('will');
    const second = await s.keep('a');
    await second.drop();
    await listener.quiet();
    await notPublishedAfterDisconnect(s);
  }),
  v4('3.1.2-12', 'no Will flag, no Will', async (s) => {
    const listener = await listening(s);
    await (await s.connect()).drop();
    await listener.quiet();
  }),
  ...both('3.1.2-16', '3.1.2-14', 'Will retain 0: it is not retained', async (s) => {
    const listener = await listening(s);
    await (await s.connect('a', willOf(s))).drop();
    assert.equal((await listener.message('will')).retain, false);
    await (await listening(s)).quiet();
  }),
  ...both('3.1.2-17', '3.1.2-15', 'Will retain 1: it is retained', async (s) => {
    const listener = await listening(s);
    await (await s.connect('a', willOf(s, { retain: true }))).drop();
    await listener.message('will');
    const late = await s.connect('c');
    await late.subscribe(s.topic());
    assert.equal((await late.message('will')).retain, true);
  }),
  v5('3.1.3-9', 'a connection within the delay keeps the Will from being sent', async (s) => {
    const listener = await listening(s);
    await (await s.keep('a', willOf(s, { properties: { willDelayInterval: 3 } }))).drop();
    const again = await s.keep('a');
    assert.equal(again.connack.sessionPresent, true);
    for (let waited = 0; waited < 3_600; waited += quietMs) await listener.quiet();
  }),
  v5('3.1.3-10', 'user properties of a Will keep their order', async (s) => {
    const listener = await listening(s);
    const userProperties = { one: '1', two: '2', three: '3' };
    await (await s.connect('a', willOf(s, { properties: { userProperties } }))).drop();
    const { properties } = await listener.message('will');
    assert.deepEqual(Object.entries(properties?.userProperties ?? {}), Object.entries(userProperties));
  }),
  ...each(v4, { '3.14.4-3': 'DISCONNECT discards the Will' }, notPublishedAfterDisconnect),
  v5('3.14.4-3', 'DISCONNECT of 0 discards the Will, and 4 asks for it', async (s) => {
    await notPublishedAfterDisconnect(s);
    const listener = await listening(s);
    const talk = await s.connect('a', willOf(s));
    await talk.leave({ reasonCode: 4 });
    await listener.message('will');
  }),
];
