/** What a subscriber gets: once, in order, as fast as it takes it, and again when it had not said that it has it. */
import type { IConnectPacket } from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DeliveryHouse, heard, kept, leave, payloads, quiet, subscribe } from '../harness/delivery-house.ts';
import { eventually } from '../harness/eventually.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';

let house: DeliveryHouse;
beforeAll(async () => {
  house = await DeliveryHouse.start('mqtt: { maxInflight: 3, maxQueuedSize: 32KiB }');
});
afterAll(() => house[Symbol.asyncDispose]());

const connect: DeliveryHouse['connect'] = (...options) => house.connect(...options);
const publish: DeliveryHouse['publish'] = (...message) => house.publish(...message);

describe('Receive Maximum', () => {
  test.each([1, 2] as const)(
    '[MQTT-3.3.4-9] no more QoS %i is unacknowledged than the client takes, and order is kept',
    async (qos) => {
      using raw = await connect('narrow', { properties: { receiveMaximum: 2 } });
      await subscribe(raw, ['x/narrow']);
      for (const text of ['1', '2', '3', '4', '5']) await publish('x/narrow', text, { qos });
      await publish('x/narrow', 'passes', { qos: 0 });
      const first = await heard(raw);
      expect(first.map(({ payload }) => payload.toString())).toEqual(['1', '2', 'passes']);
      expect(first.slice(0, 2).every((one) => one.qos === qos && !one.dup)).toBe(true);
      const seen: string[] = [];
      let waiting = first.slice(0, 2);
      while (waiting.length > 0) {
        const { messageId, payload } = waiting.shift()!;
        seen.push(payload.toString());
        raw.sendPacket({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId });
        if (qos === 2) {
          expect((await raw.next('pubrel')).messageId).toBe(messageId);
          // PUBREC alone frees nothing: the delivery goes on until PUBCOMP (section 4.9).
          expect(await heard(raw)).toEqual([]);
          raw.sendPacket({ cmd: 'pubcomp', messageId });
        }
        waiting = [...waiting, ...(await heard(raw))];
        expect(waiting.length).toBeLessThanOrEqual(2);
      }
      expect(seen).toEqual(['1', '2', '3', '4', '5']);
    },
  );

  test('a 3.1.1 client, which has no word for it, is held to maxInflight', async () => {
    using raw = await connect('old', {}, 4);
    await subscribe(raw, ['x/old']);
    for (const text of ['1', '2', '3', '4']) await publish('x/old', text);
    const first = await heard(raw);
    expect(first).toHaveLength(3);
    raw.sendPacket({ cmd: 'puback', messageId: first[0]!.messageId });
    expect(await payloads(raw)).toEqual(['4']);
  });

  test.each([
    [1, 'puback'],
    [2, 'pubrec'],
  ] as const)('a QoS %i publish that is answered with an error is over: %s of 0x97', async (qos, cmd) => {
    const options = { ...kept, properties: { ...kept.properties, receiveMaximum: 1 } };
    const raw = await connect(`refuses${qos}`, options);
    await subscribe(raw, [`x/refuses${qos}`]);
    await publish(`x/refuses${qos}`, '1', { qos });
    await publish(`x/refuses${qos}`, '2', { qos });
    const [one] = await heard(raw);
    raw.sendPacket({ cmd, messageId: one!.messageId, reasonCode: 0x97 });
    const [two] = await heard(raw);
    expect(two!.payload.toString()).toBe('2');
    expect(raw.packets.filter((packet) => packet.cmd === 'pubrel')).toEqual([]);
    raw.sendPacket({ cmd, messageId: two!.messageId, reasonCode: 0x97 });
    await quiet(raw);
    await leave(raw);
    using again = await connect(`refuses${qos}`, options);
    expect(await heard(again)).toEqual([]);
  });
});

describe('Maximum Packet Size of the client', () => {
  test('[MQTT-3.1.2-24] [MQTT-3.1.2-25] a packet of exactly that size is sent, one byte more is not and counts as acknowledged', async () => {
    const before = await house.metric('messages_withheld_total{reason="too-large"}');
    const options = {
      ...kept,
      properties: { ...kept.properties, maximumPacketSize: 100, receiveMaximum: 1 },
    };
    const raw = await connect('small', options);
    await subscribe(raw, ['x/small']);
    // Header 2, topic 2 + 7, packet id 2, properties 1.
    const room = 100 - 14;
    await publish('x/small', Buffer.alloc(room + 1, 'b'));
    await publish('x/small', Buffer.alloc(room, 'a'));
    await publish('x/small', Buffer.alloc(room + 1, 'b'));
    const [one, ...more] = await heard(raw);
    expect(one!.payload).toEqual(Buffer.alloc(room, 'a'));
    expect(more).toEqual([]);
    raw.sendPacket({ cmd: 'puback', messageId: one!.messageId });
    await quiet(raw);
    expect(await house.metric('messages_withheld_total{reason="too-large"}')).toBe(before + 2);
    await leave(raw);
    using again = await connect('small', { ...options, properties: kept.properties });
    expect(await heard(again)).toEqual([]);
  });
});

describe('a session that comes back', () => {
  test('[MQTT-3.3.1-1] [MQTT-4.4.0-1] what was sent comes again under its packet id with DUP, what waited comes without', async () => {
    const options = { ...kept, properties: { ...kept.properties, receiveMaximum: 1 } };
    const raw = await connect('back', options);
    await subscribe(raw, ['x/back/#']);
    for (const text of ['1', '2']) await publish('x/back/a', text);
    const [one] = await heard(raw);
    expect([one!.payload.toString(), one!.dup]).toEqual(['1', false]);
    await leave(raw);
    await publish('x/back/b', '3', { qos: 2 });
    await publish('x/back/b', 'never kept', { qos: 0 });
    using again = await connect('back', options);
    const [same] = await heard(again);
    expect([same!.payload.toString(), same!.dup, same!.messageId]).toEqual(['1', true, one!.messageId]);
    again.sendPacket({ cmd: 'puback', messageId: same!.messageId });
    const [two] = await heard(again);
    expect([two!.payload.toString(), two!.dup]).toEqual(['2', false]);
    again.sendPacket({ cmd: 'puback', messageId: two!.messageId });
    const [three] = await heard(again);
    expect([three!.payload.toString(), three!.dup, three!.qos]).toEqual(['3', false, 2]);
  });

  test('[MQTT-4.3.3-1] QoS 2 goes on where it was: PUBLISH again before PUBREC, PUBREL again after it, nothing after PUBCOMP', async () => {
    const raw = await connect('exact', kept);
    await subscribe(raw, ['x/exact']);
    await publish('x/exact', '1', { qos: 2 });
    const [one] = await heard(raw);
    const { messageId } = one!;
    await leave(raw);
    const second = await connect('exact', kept);
    const [same] = await heard(second);
    expect([same!.dup, same!.messageId, same!.qos]).toEqual([true, messageId, 2]);
    second.sendPacket({ cmd: 'pubrec', messageId });
    expect((await second.next('pubrel')).messageId).toBe(messageId);
    await leave(second);
    const third = await connect('exact', kept);
    expect((await third.next('pubrel')).messageId).toBe(messageId);
    expect(await heard(third)).toEqual([]);
    third.sendPacket({ cmd: 'pubcomp', messageId });
    await quiet(third);
    await leave(third);
    using fourth = await connect('exact', kept);
    expect(await heard(fourth)).toEqual([]);
    expect(fourth.packets).toEqual([]);
  });

  test('a PUBREC for a packet id that nobody knows is answered: 0x92 in 5', async () => {
    using raw = await connect('stray');
    raw.sendPacket({ cmd: 'pubrec', messageId: 77 });
    expect(await raw.next('pubrel')).toMatchObject({ messageId: 77, reasonCode: 0x92 });
  });

  test('it is present though it subscribes to nothing, and gone after a clean start [MQTT-3.2.2-2]', async () => {
    await leave(await connect('bare', kept));
    const raw = await RawMqtt.open(house.device, house.house.port('mqtts'));
    raw.sendPacket({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clientId: 'd:bare',
      keepalive: 60,
      ...kept,
    } as IConnectPacket);
    expect((await raw.next('connack')).sessionPresent).toBe(true);
    await leave(raw);
  });

  test('[MQTT-3.1.2-4] of a session that is started anew nothing comes back', async () => {
    const raw = await connect('anew', kept);
    await subscribe(raw, ['x/anew']);
    await publish('x/anew', 'sent');
    expect(await heard(raw)).toHaveLength(1);
    await leave(raw);
    await publish('x/anew', 'queued');
    const fresh = await connect('anew', { ...kept, clean: true });
    expect(await heard(fresh)).toEqual([]);
    await leave(fresh);
    using again = await connect('anew', kept);
    expect(await heard(again)).toEqual([]);
  });

  test('a queue longer than what may wait in memory arrives whole and in order', async () => {
    const raw = await connect('long', kept);
    await subscribe(raw, ['x/long']);
    await leave(raw);
    const all = Array.from({ length: 60 }, (_, n) => `${n} ${'.'.repeat(1_000)}`);
    for (const text of all.slice(0, 50)) await publish('x/long', text);
    using again = await connect('long', { ...kept, properties: { ...kept.properties, receiveMaximum: 5 } });
    const seen: string[] = [];
    for (const text of all.slice(50)) await publish('x/long', text);
    await eventually(async () => {
      for (const { messageId, payload } of await heard(again)) {
        seen.push(payload.toString());
        again.sendPacket({ cmd: 'puback', messageId });
      }
      expect(seen.length).toBeGreaterThanOrEqual(60);
    });
    expect(seen).toEqual(all);
  });
});

describe('subscriptions that overlap', () => {
  test('[MQTT-3.3.4-2] [MQTT-3.3.4-4] a message comes once, at the highest QoS granted, with every identifier', async () => {
    using raw = await connect('overlap');
    await subscribe(raw, [{ topic: 'x/o/#', qos: 0 }], 7);
    await subscribe(raw, [{ topic: 'x/o/+', qos: 1 }], 300);
    await subscribe(raw, [{ topic: 'x/o/a', qos: 0 }]);
    await publish('x/o/a', 'both', { qos: 2 });
    await publish('x/o/a/b', 'one', { qos: 2 });
    const [both, one, ...more] = await heard(raw);
    expect(both).toMatchObject({ qos: 1 });
    expect([both!.properties!.subscriptionIdentifier].flat().sort()).toEqual([300, 7]);
    expect(one).toMatchObject({ qos: 0, properties: { subscriptionIdentifier: 7 } });
    expect(more).toEqual([]);
  });

  test('of a session that is away a message is kept once', async () => {
    const raw = await connect('overlap-away', kept);
    await subscribe(raw, ['x/oa/#', 'x/oa/+', 'x/oa/a'], 9);
    await leave(raw);
    await publish('x/oa/a', 'once');
    using again = await connect('overlap-away', kept);
    const [one, ...more] = await heard(again);
    expect([one!.properties!.subscriptionIdentifier].flat()).toEqual([9, 9, 9]);
    expect(more).toEqual([]);
    again.sendPacket({ cmd: 'puback', messageId: one!.messageId });
    await quiet(again);
    await leave(again);
    using last = await connect('overlap-away', kept);
    expect(await heard(last)).toEqual([]);
  });

  test('[MQTT-3.8.3-3] No Local, here and kept while away', async () => {
    const raw = await connect('own', kept);
    await subscribe(raw, [{ topic: 'x/own', nl: true }]);
    await publish('x/own', 'mine', { from: raw });
    await publish('x/own', 'another');
    expect(await payloads(raw)).toEqual(['another']);
    await leave(raw);
    using again = await connect('own', kept);
    expect(await payloads(again)).toEqual(['another']);
  });

  test('[MQTT-3.3.1-12] [MQTT-3.3.1-13] Retain As Published', async () => {
    using raw = await connect('rap');
    await subscribe(raw, [{ topic: 'x/rap/yes', rap: true }, { topic: 'x/rap/no' }]);
    for (const topic of ['x/rap/yes', 'x/rap/no']) await publish(topic, '1', { retain: true });
    expect((await heard(raw)).map(({ topic, retain }) => [topic, retain])).toEqual([
      ['x/rap/yes', true],
      ['x/rap/no', false],
    ]);
  });

  test('[MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] Retain Handling', async () => {
    await publish('x/rh', 'kept', { retain: true });
    using raw = await connect('rh');
    const hear = async (rh: 0 | 1 | 2) => {
      await subscribe(raw, [{ topic: 'x/rh', rh }], 5);
      return (await heard(raw)).map(({ retain, properties }) => [retain, properties!.subscriptionIdentifier]);
    };
    expect(await hear(2)).toEqual([]);
    expect(await hear(0)).toEqual([[true, 5]]);
    expect(await hear(1)).toEqual([]);
    raw.sendPacket({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['x/rh', 'x/never'] });
    expect((await raw.next('unsuback')).granted).toEqual([0, 0x11]);
    expect(await hear(1)).toEqual([[true, 5]]);
  });

  test('a retained message of QoS 1 that was not acknowledged comes again to a session that is kept', async () => {
    await publish('x/again', 'kept', { retain: true });
    const raw = await connect('retained', kept);
    await subscribe(raw, ['x/again']);
    const [one] = await heard(raw);
    await leave(raw);
    using again = await connect('retained', kept);
    expect(await heard(again)).toMatchObject([{ retain: true, dup: true, messageId: one!.messageId }]);
  });

  test('[MQTT-3.8.4-8] QoS is what was granted, by a wildcard too, at once and after', async () => {
    const raw = await connect('granted', kept);
    await subscribe(raw, [{ topic: 'x/g/#', qos: 1 }]);
    await publish('x/g/a', 'now', { qos: 2 });
    const [now] = await heard(raw);
    expect(now!.qos).toBe(1);
    raw.sendPacket({ cmd: 'puback', messageId: now!.messageId });
    await quiet(raw);
    await leave(raw);
    await publish('x/g/a', 'later', { qos: 2, retain: true });
    using again = await connect('granted', kept);
    expect(await heard(again)).toMatchObject([{ qos: 1, retain: false }]);
  });
});

test('[MQTT-3.3.2-18] user properties keep their order, queued or not', async () => {
  // What the packet library makes of them would not.
  const user = (name: string, value: string) => [38, 0, 1, name.charCodeAt(0), 0, 1, value.charCodeAt(0)];
  const properties = [...user('b', '1'), ...user('a', '2'), ...user('b', '3')];
  const raw = await connect('users', kept);
  await subscribe(raw, ['x/users']);
  const frames: Buffer[] = [];
  raw.socket.on('data', (chunk: Buffer) => frames.push(chunk));
  const topic = [0, 7, ...Buffer.from('x/users')];
  const body = [...topic, 0, 9, properties.length, ...properties, 49];
  house.speaker.send([0x32, body.length, ...body]);
  await house.speaker.next('puback');
  await heard(raw);
  expect(Buffer.concat(frames).includes(Buffer.from(properties))).toBe(true);
});
