/** Shared subscriptions (MQTT 5, section 4.8.2): of a group one hears each message, and nothing is lost when one leaves. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DeliveryHouse, heard, kept, leave, payloads, quiet, subscribe } from '../harness/delivery-house.ts';
import { eventually } from '../harness/eventually.ts';
import { packet, RawMqtt } from '../harness/raw-mqtt.ts';

let house: DeliveryHouse;
beforeAll(async () => {
  house = await DeliveryHouse.start('');
});
afterAll(() => house[Symbol.asyncDispose]());

const connect: DeliveryHouse['connect'] = (...options) => house.connect(...options);
const publish: DeliveryHouse['publish'] = (...message) => house.publish(...message);

/** Members of a group of their own. */
async function members(
  topic: string,
  names: [name: string, options?: Parameters<typeof connect>[1]][],
  qos: 0 | 1 | 2 = 2,
): Promise<RawMqtt[]> {
  const all = await Promise.all(
    names.map(([name, options]) => connect(`${topic.slice(2)}-${name}`, options)),
  );
  for (const raw of all)
    expect(await subscribe(raw, [{ topic: `$share/group/${topic}`, qos }])).toEqual([qos]);
  return all;
}
const narrow = { properties: { receiveMaximum: 1 } };

describe('who hears', () => {
  test('of a group one, of two groups one each, and whoever subscribes without a group', async () => {
    const group = await members('x/one', [['a'], ['b'], ['c']], 0);
    using other = await connect('one-other');
    await subscribe(other, [{ topic: '$share/other/x/one', qos: 0 }], 12);
    using alone = await connect('one-alone', {}, 4);
    await subscribe(alone, [{ topic: 'x/one', qos: 0 }]);
    const all = Array.from({ length: 9 }, (_, n) => `${n}`);
    for (const text of all) await publish('x/one', text);
    expect(await payloads(alone)).toEqual(all);
    const others = await heard(other);
    expect(others.map(({ payload }) => payload.toString())).toEqual(all);
    expect(others[0]!.properties).toMatchObject({ subscriptionIdentifier: 12 });
    const shared = await Promise.all(group.map(payloads));
    expect(shared.flat().sort()).toEqual(all);
    expect(shared.map(({ length }) => length)).toEqual([3, 3, 3]);
    for (const raw of group) raw[Symbol.dispose]();
  });

  test('it works for 3.1.1 clients, and ends with UNSUBSCRIBE', async () => {
    using a = await connect('old-a', {}, 4);
    using b = await connect('old-b', {}, 4);
    for (const raw of [a, b])
      expect(await subscribe(raw, [{ topic: '$share/g/x/old', qos: 0 }])).toEqual([0]);
    for (const text of ['1', '2']) await publish('x/old', text);
    expect([...(await payloads(a)), ...(await payloads(b))].sort()).toEqual(['1', '2']);
    a.sendPacket({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['$share/g/x/old'] });
    await a.next('unsuback');
    for (const text of ['3', '4']) await publish('x/old', text);
    expect(await payloads(b)).toEqual(['3', '4']);
  });

  test('what is retained is for nobody who joins', async () => {
    await publish('x/kept', 'retained', { retain: true });
    const [a] = await members('x/kept', [['a']]);
    expect(await payloads(a!)).toEqual([]);
    a![Symbol.dispose]();
  });

  test('what devices say is shared too', async () => {
    const meter = await house.house.api.enroll('plant', 'meter');
    const backends = await Promise.all(
      ['lake-1', 'lake-2'].map(async (id) => {
        const identity = await house.house.api.enroll('plant', id);
        await house.house.api.call('PATCH', `/v1/devices/${id}`, { role: 'backend' });
        const raw = await RawMqtt.connected(identity, house.house.port('mqtts'));
        expect(await subscribe(raw, [{ topic: '$share/lakes/devices/+/telemetry/#', qos: 1 }])).toEqual([1]);
        return raw;
      }),
    );
    using raw = await RawMqtt.connected(meter, house.house.port('mqtts'));
    for (const text of ['1', '2', '3', '4']) await publish('devices/meter/telemetry', text, { from: raw });
    const shared = await Promise.all(backends.map(payloads));
    expect(shared.flat().sort()).toEqual(['1', '2', '3', '4']);
    expect(shared.every(({ length }) => length > 0)).toBe(true);
    for (const one of backends) one[Symbol.dispose]();
  });
});

describe('a member that does not take its share', () => {
  test('is passed over while it has its hands full', async () => {
    const [slow, quick] = await members('x/slow', [['slow', narrow], ['quick']], 1);
    for (const text of ['1', '2', '3', '4', '5', '6']) await publish('x/slow', text);
    expect(await payloads(slow!)).toHaveLength(1);
    expect(await payloads(quick!)).toHaveLength(5);
    for (const raw of [slow, quick]) raw![Symbol.dispose]();
  });

  test.each([
    ['ends with its connection', {}],
    ['is kept', kept],
  ])('leaves what it had not acknowledged at QoS 1 to another; its session %s', async (how, options) => {
    const topic = `x/leaves-${how.length}`;
    const [a] = await members(topic, [['a', options]], 1);
    for (const text of ['1', '2']) await publish(topic, text);
    const [one] = await heard(a!);
    a!.sendPacket({ cmd: 'puback', messageId: one!.messageId });
    await quiet(a!);
    const [b] = await members(topic, [['b']], 1);
    expect(await payloads(b!)).toEqual([]);
    await leave(a!);
    const [two] = await eventually(async () => {
      const all = await heard(b!);
      expect(all).toHaveLength(1);
      return all;
    });
    expect([two!.payload.toString(), two!.dup, two!.qos]).toEqual(['2', false, 1]);
    using again = await connect(`${topic.slice(2)}-a`, options);
    expect(await payloads(again)).toEqual([]);
    b![Symbol.dispose]();
  });

  test('has it again itself when nobody else is there', async () => {
    const [a] = await members('x/lonely', [['a', kept]], 1);
    await publish('x/lonely', '1');
    const [one] = await heard(a!);
    await leave(a!);
    await publish('x/lonely', '2');
    using again = await connect('lonely-a', kept);
    const both = await heard(again);
    expect(both.map(({ payload, dup }) => [payload.toString(), dup])).toEqual([
      ['1', true],
      ['2', false],
    ]);
    expect(both[0]!.messageId).toBe(one!.messageId);
  });

  test("[MQTT-4.8.2-4] [MQTT-4.8.2-5] QoS 2 that was begun is ended with it, and is nobody else's", async () => {
    const [a] = await members('x/begun', [['a', kept]]);
    await publish('x/begun', '1', { qos: 2 });
    const [one] = await heard(a!);
    const [b] = await members('x/begun', [['b']]);
    await leave(a!);
    expect(await payloads(b!)).toEqual([]);
    using again = await connect('begun-a', kept);
    const [same] = await heard(again);
    expect([same!.dup, same!.messageId]).toEqual([true, one!.messageId]);
    again.sendPacket({ cmd: 'pubrec', messageId: same!.messageId });
    await again.next('pubrel');
    again.sendPacket({ cmd: 'pubcomp', messageId: same!.messageId });
    expect(await payloads(b!)).toEqual([]);
    b![Symbol.dispose]();
  });

  test('[MQTT-4.8.2-6] one that answers with an error has had it for all', async () => {
    const [a] = await members('x/error', [['a', narrow]], 1);
    await publish('x/error', '1');
    const [one] = await heard(a!);
    const [b] = await members('x/error', [['b']], 1);
    a!.sendPacket({ cmd: 'puback', messageId: one!.messageId, reasonCode: 0x80 });
    await quiet(a!);
    await leave(a!);
    expect(await payloads(b!)).toEqual([]);
    b![Symbol.dispose]();
  });
});

describe('what is no share', () => {
  test('CONNACK does not say that there are none (section 3.2.2.3.13)', async () => {
    using raw = await RawMqtt.open(house.device, house.house.port('mqtts'));
    raw.sendPacket({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clientId: 'd:hello',
      clean: true,
      keepalive: 9,
    });
    expect((await raw.next('connack')).properties).not.toHaveProperty('sharedSubscriptionAvailable');
  });

  test('a group does not get around the rule for its filter', async () => {
    using raw = await connect('thief');
    expect(await subscribe(raw, ['$share/g/secret', '$share/g/#', '$share/x/x/fine'])).toEqual([
      0x87, 0x87, 2,
    ]);
  });

  test.each([
    ['[MQTT-4.8.2-1] a group without a name', '$share//x/a'],
    ['[MQTT-4.8.2-2] a wildcard in its name', '$share/a+/x/a'],
    ['[MQTT-4.8.2-2] no slash after its name', '$share/x'],
    ['[MQTT-4.8.2-2] no filter', '$share/x/'],
  ])('%s ends the connection', async (_what, filter) => {
    using raw = await connect('malformed');
    raw.send(packet(0x82, [0, 1, 0], filter, [1]));
    // Topic filter or topic name invalid: a filter that is none is the one and the other.
    expect([0x8f, 0x90]).toContain(await raw.ended());
  });

  test('[MQTT-3.8.3-4] No Local on a share is a protocol error', async () => {
    using raw = await connect('local');
    raw.send(packet(0x82, [0, 1, 0], '$share/g/x/a', [1 | 4]));
    expect(await raw.ended()).toBe(0x82);
  });
});
