/** Sections 3.4 to 3.7, 4.3 and 4.9: acknowledgements, delivery, flow control. */
import assert from 'node:assert/strict';
import { packet } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { both, type Case, each, NotApplicable, v4, v5 } from '../statement.ts';
import type { Talk } from '../talk.ts';

const pubackCodes = [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/** A listener of any QoS, and one who speaks. */
async function pairOf(s: Scene, qos: 0 | 1 | 2 = 2, properties?: object): Promise<[Talk, Talk]> {
  const listener = await s.connect('b', s.version === 5 ? { properties } : {});
  await listener.subscribe(s.topic(), { qos });
  return [listener, await s.connect()];
}

async function zero(s: Scene): Promise<void> {
  const [listener, speaker] = await pairOf(s, 0);
  await speaker.deliver(s.topic(), 'zero');
  const got = await listener.message('zero');
  assert.deepEqual([got.qos, got.dup], [0, false]);
}

async function oneSent(s: Scene): Promise<void> {
  const [listener, speaker] = await pairOf(s, 1);
  await speaker.deliver(s.topic(), 'a');
  await speaker.deliver(s.topic(), 'b');
  const [a, b] = [await listener.message('a'), await listener.message('b')];
  assert.deepEqual([a.qos, a.dup, b.qos, b.dup], [1, false, 1, false]);
  assert.notEqual(a.messageId, b.messageId);
  // Not acknowledged, and not sent again while the connection is there.
  await listener.quiet();
}

async function oneReceived(s: Scene): Promise<void> {
  const [listener, speaker] = await pairOf(s, 1);
  await speaker.deliver(s.topic(), 'once', { messageId: 77 });
  await speaker.deliver(s.topic(), 'twice', { messageId: 77, dup: true });
  await listener.message('once');
  await listener.message('twice');
}

async function twoSent(s: Scene): Promise<void> {
  const [listener, speaker] = await pairOf(s);
  await speaker.deliver2(s.topic(), 'exact');
  const got = await listener.message('exact');
  assert.deepEqual([got.qos, got.dup], [2, false]);
  listener.say({ cmd: 'pubrec', messageId: got.messageId });
  assert.equal((await listener.next('pubrel')).messageId, got.messageId);
  await listener.quiet();
  listener.say({ cmd: 'pubcomp', messageId: got.messageId });
  await listener.alive();
}

async function twoReceived(s: Scene): Promise<void> {
  const [listener, speaker] = await pairOf(s);
  for (const dup of [false, true]) {
    speaker.publish(s.topic(), 'exact', { qos: 2, messageId: 5, dup });
    assert.equal((await speaker.next('pubrec')).messageId, 5);
  }
  speaker.say({ cmd: 'pubrel', messageId: 5 });
  assert.equal((await speaker.next('pubcomp')).messageId, 5);
  await listener.message('exact');
  await listener.quiet();
  // The identifier is free again.
  await speaker.deliver2(s.topic(), 'new', { messageId: 5 });
  await listener.message('new');
}

/** The identifier is part of the session: a connection that ends in between changes nothing (section 4.1). */
async function twoReceivedOverConnections(s: Scene): Promise<void> {
  const [listener] = await pairOf(s);
  const first = await s.keep('c');
  first.publish(s.topic(), 'exact', { qos: 2, messageId: 5 });
  await first.next('pubrec');
  await first.drop();
  const again = await s.keep('c');
  again.publish(s.topic(), 'exact', { qos: 2, messageId: 5, dup: true });
  assert.equal((await again.next('pubrec')).messageId, 5);
  again.say({ cmd: 'pubrel', messageId: 5 });
  const { messageId, reasonCode = 0 } = await again.next('pubcomp');
  assert.deepEqual([messageId, reasonCode], [5, 0]);
  await listener.message('exact');
  await listener.quiet();
}

async function twoReceivedOnce(s: Scene): Promise<void> {
  await twoReceived(s);
  await twoReceivedOverConnections(s);
}

/** Acknowledgements that the server sends, of a publish that is allowed and one that is not. */
async function codes(s: Scene, qos: 1 | 2, answer: 'puback' | 'pubrec'): Promise<void> {
  const talk = await s.connect();
  talk.publish(s.topic(), 'yes', { qos });
  assert.ok(pubackCodes.includes((await talk.next(answer)).reasonCode ?? 0));
  talk.publish(s.peer.forbidden, 'no', { qos });
  assert.ok(pubackCodes.includes((await talk.next(answer)).reasonCode ?? 0));
}

async function smallAcknowledgement(s: Scene, qos: 1 | 2, answer: 'puback' | 'pubrec'): Promise<void> {
  const talk = await s.connect('a', { properties: { maximumPacketSize: 30 } });
  const before = talk.bytes.length;
  talk.publish(s.peer.forbidden, 'no', { qos });
  const { properties } = await talk.next(answer);
  assert.ok(talk.bytes.length - before <= 30, `${talk.bytes.length - before} bytes`);
  assert.equal(properties?.userProperties, undefined);
}

async function pubcomp(s: Scene): Promise<void> {
  const talk = await s.connect('a', { properties: { maximumPacketSize: 30 } });
  const before = talk.bytes.length;
  talk.say({ cmd: 'pubrel', messageId: 999 });
  const { reasonCode = 0 } = await talk.next('pubcomp');
  assert.ok(reasonCode === 0 || reasonCode === 0x92);
  assert.ok(talk.bytes.length - before <= 30);
}

async function pubrelSent(s: Scene): Promise<void> {
  const [listener, speaker] = await pairOf(s, 2, { maximumPacketSize: 200 });
  await speaker.deliver2(s.topic(), 'exact');
  listener.say({ cmd: 'pubrec', messageId: (await listener.message('exact')).messageId });
  const { reasonCode = 0 } = await listener.next('pubrel');
  assert.ok(reasonCode === 0 || reasonCode === 0x92);
}

async function quota(s: Scene): Promise<void> {
  const [listener, speaker] = await pairOf(s, 2, { receiveMaximum: 2 });
  for (const payload of ['1', '2', '3', '4']) await speaker.deliver(s.topic(), payload);
  const [one, two] = [await listener.message('1'), await listener.message('2')];
  await listener.quiet();
  listener.say({ cmd: 'puback', messageId: one.messageId });
  await listener.message('3');
  await listener.quiet();
  listener.say({ cmd: 'puback', messageId: two.messageId });
  await listener.message('4');
}

async function othersAtQuota(s: Scene): Promise<void> {
  const [listener, speaker] = await pairOf(s, 1, { receiveMaximum: 1 });
  await speaker.deliver(s.topic(), '1');
  await speaker.deliver(s.topic(), '2');
  await listener.message('1');
  await listener.alive();
  await listener.subscribe(s.topic('other'));
  await listener.deliver(s.topic('other'), 'mine');
  await listener.message('mine');
}

export const qos: Case[] = [
  ...each(v5, { '3.4.2-1': 'PUBACK has a reason code of its table' }, (s) => codes(s, 1, 'puback')),
  ...each(
    v5,
    {
      '3.4.2-2': 'no reason string that makes PUBACK longer than the client takes',
      '3.4.2-3': 'no user property that makes PUBACK longer than the client takes',
    },
    (s) => smallAcknowledgement(s, 1, 'puback'),
  ),
  ...each(v5, { '3.5.2-1': 'PUBREC has a reason code of its table' }, (s) => codes(s, 2, 'pubrec')),
  ...each(
    v5,
    {
      '3.5.2-2': 'no reason string that makes PUBREC longer than the client takes',
      '3.5.2-3': 'no user property that makes PUBREC longer than the client takes',
    },
    (s) => smallAcknowledgement(s, 2, 'pubrec'),
  ),
  ...both('3.6.1-1', '3.6.1-1', 'PUBREL with other flags than 2 ends the connection', async (s) => {
    await s.endsAfter(packet(0x60, [0, 1]));
    await s.endsAfter(packet(0x66, [0, 1]));
  }),
  ...each(
    v5,
    {
      '3.6.2-1': 'PUBREL has a reason code of its table',
      '3.6.2-2': 'no reason string that makes PUBREL longer than the client takes',
      '3.6.2-3': 'no user property that makes PUBREL longer than the client takes',
    },
    pubrelSent,
  ),
  ...each(
    v5,
    {
      '3.7.2-1': 'PUBCOMP has a reason code of its table',
      '3.7.2-2': 'no reason string that makes PUBCOMP longer than the client takes',
      '3.7.2-3': 'no user property that makes PUBCOMP longer than the client takes',
    },
    pubcomp,
  ),
  ...both('4.3.1-1', '4.3.1-1', 'QoS 0 is sent with QoS 0 and DUP 0', zero),
  v4('4.3.2-1', 'QoS 1 is sent with an unused identifier and DUP 0, and waits for PUBACK', oneSent),
  ...each(
    v5,
    {
      '4.3.2-1': 'QoS 1 is sent with an unused identifier',
      '4.3.2-2': 'with QoS 1 and DUP 0',
      '4.3.2-3': 'and waits for PUBACK',
    },
    oneSent,
  ),
  v4('4.3.2-2', 'QoS 1 is acknowledged, and its identifier is then free', oneReceived),
  ...each(
    v5,
    {
      '4.3.2-4': 'QoS 1 is acknowledged with its identifier',
      '4.3.2-5': 'and the identifier is then free, whatever DUP says',
    },
    oneReceived,
  ),
  v4('4.3.3-1', 'QoS 2 is sent, released after PUBREC, and not sent again', twoSent),
  ...each(
    v5,
    {
      '4.3.3-1': 'QoS 2 is sent with an unused identifier',
      '4.3.3-2': 'with QoS 2 and DUP 0',
      '4.3.3-3': 'and waits for PUBREC',
      '4.3.3-4': 'PUBREC is answered by PUBREL with its identifier',
      '4.3.3-5': 'which waits for PUBCOMP',
      '4.3.3-6': 'and the PUBLISH is not sent again after PUBREL',
    },
    twoSent,
  ),
  v5('4.3.3-7', 'what was sent at QoS 2 does not expire any more', expiryAfterSending),
  v4(
    '4.3.3-2',
    'QoS 2 is taken once, PUBREC again until PUBREL, and its identifier is then free',
    twoReceivedOnce,
  ),
  ...each(
    v5,
    {
      '4.3.3-8': 'QoS 2 is answered by PUBREC with its identifier',
      '4.3.3-11': 'PUBREL is answered by PUBCOMP with its identifier',
      '4.3.3-12': 'and the identifier is then free',
    },
    twoReceived,
  ),
  v5('4.3.3-10', 'PUBREC is sent again until PUBREL, and nobody gets the message twice', twoReceivedOnce),
  v5('4.3.3-9', 'after a PUBREC of 0x80 and more the identifier is free', async (s) => {
    const [listener, speaker] = await pairOf(s);
    speaker.publish(s.peer.forbidden, 'no', { qos: 2, messageId: 9 });
    assert.ok((await speaker.next('pubrec')).reasonCode >= 0x80);
    await speaker.deliver2(s.topic(), 'yes', { messageId: 9 });
    await listener.message('yes');
  }),
  v5('4.3.3-13', 'the acknowledgements of QoS 2 go on after the message has expired', async (s) => {
    const [, speaker] = await pairOf(s);
    speaker.publish(s.topic(), 'short', { qos: 2, messageId: 3, properties: { messageExpiryInterval: 1 } });
    assert.equal((await speaker.next('pubrec')).messageId, 3);
    for (let waited = 0; waited < 1_300; waited += 150) await speaker.quiet();
    speaker.say({ cmd: 'pubrel', messageId: 3 });
    assert.equal((await speaker.next('pubcomp')).messageId, 3);
  }),
  v5('3.3.4-7', 'a client with more than Receive Maximum under way gets 0x93', async (s) => {
    const talk = await s.connect();
    const most = talk.connack.properties?.receiveMaximum;
    if (most === undefined) throw new NotApplicable('it announces no maximum');
    for (let messageId = 1; messageId <= most + 1; messageId++)
      talk.publish(s.topic(), '', { qos: 2, messageId });
    assert.equal(await talk.closes(), 0x93);
  }),
  ...each(
    v5,
    {
      '3.3.4-9': 'no more than Receive Maximum QoS 1 and 2 messages wait for the client',
      '4.9.0-1': 'the send quota is at most Receive Maximum',
      '4.9.0-2': 'at 0 no more of QoS 1 and 2 is sent',
    },
    quota,
  ),
  ...each(
    v5,
    {
      '3.3.4-10': 'other packets do not wait for the quota',
      '4.9.0-3': 'at 0 all other packets are processed',
    },
    othersAtQuota,
  ),
];

async function expiryAfterSending(s: Scene): Promise<void> {
  const listener = await s.keep('b');
  await listener.subscribe(s.topic(), { qos: 2 });
  await (await s.connect()).deliver2(s.topic(), 'sent', { properties: { messageExpiryInterval: 1 } });
  const { messageId } = await listener.message('sent');
  for (let waited = 0; waited < 1_300; waited += 150) await listener.quiet();
  listener.say({ cmd: 'pubrec', messageId });
  assert.equal((await listener.next('pubrel')).messageId, messageId);
}
