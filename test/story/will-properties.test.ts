/** A Will keeps its properties: for subscribers on the wire, and for backends where it is telemetry. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFleetgate } from '../conformance/peers.ts';
import { eventually } from '../harness/eventually.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';

let peer: Awaited<ReturnType<typeof startFleetgate>>;
beforeAll(async () => {
  peer = await startFleetgate();
});
afterAll(() => peer[Symbol.asyncDispose]());

test('every property of a Will comes with it, and a request is answered where it says', async () => {
  const { a, b } = peer.devices;
  using asked = await RawMqtt.connected(b, peer.port);
  asked.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't/will', qos: 1 }] });
  await asked.next('suback');
  const properties = {
    willDelayInterval: 1,
    payloadFormatIndicator: true,
    messageExpiryInterval: 300,
    contentType: 'application/json',
    responseTopic: 't/answers',
    correlationData: Buffer.from([0, 0xff, 7]),
    userProperties: { first: 'yes', second: ['one', 'two'], third: 'no' },
  };
  const dying = await RawMqtt.connected(a, peer.port, 5, {
    will: { topic: 't/will', payload: Buffer.from('{}'), qos: 1, retain: false, properties },
    properties: { sessionExpiryInterval: 60 },
  });
  dying.socket.destroy();
  const will = await asked.next('publish');
  const { messageExpiryInterval, ...rest } = will.properties;
  const { willDelayInterval: _delay, messageExpiryInterval: _expiry, ...sent } = properties;
  expect({ ...rest, userProperties: { ...rest.userProperties } }).toEqual(sent);
  expect(messageExpiryInterval).toBeGreaterThan(290);
  expect([will.topic, String(will.payload), will.qos]).toEqual(['t/will', '{}', 1]);

  using answers = await RawMqtt.connected(a, peer.port, 5, { clientId: `${a.id}:answers` });
  answers.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't/answers', qos: 1 }] });
  await answers.next('suback');
  const { responseTopic: topic, correlationData } = will.properties;
  asked.sendPacket({
    cmd: 'publish',
    topic,
    payload: 'done',
    qos: 0,
    dup: false,
    retain: false,
    properties: { correlationData },
  });
  const answer = await answers.next('publish');
  expect([answer.properties.correlationData, String(answer.payload)]).toEqual([
    properties.correlationData,
    'done',
  ]);
});

test("the content type of a Will on the device's own telemetry reaches the backend", async () => {
  const device = await peer.house.api.enroll('plant', 'dying');
  const dying = await RawMqtt.connected(device, peer.port, 5, {
    will: {
      topic: 'devices/dying/telemetry/last',
      payload: Buffer.from('bye'),
      qos: 1,
      retain: false,
      properties: { contentType: 'text/plain' },
    },
  });
  dying.socket.destroy();
  await eventually(async () =>
    expect(await peer.house.delivered()).toContainEqual(
      expect.objectContaining({ subject: 'last', datacontenttype: 'text/plain' }),
    ),
  );
});

test('a Will that is said to be text and is not is refused', async () => {
  using raw = await RawMqtt.open(peer.devices.c, peer.port);
  const properties = { payloadFormatIndicator: true };
  const will = {
    topic: 't/will',
    payload: Buffer.from([0xc3, 0x28]),
    qos: 0 as const,
    retain: false,
    properties,
  };
  raw.sendPacket({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 5,
    clientId: peer.devices.c.id,
    clean: true,
    keepalive: 60,
    will,
  });
  expect((await raw.next('connack')).reasonCode).toBe(0x99);
});
