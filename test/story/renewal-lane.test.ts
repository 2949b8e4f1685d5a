/** The renew-only lane, on both doors: outside its validity, within the terms of its fleet, a certificate renews and nothing else. */
import type { IPublishPacket } from 'mqtt-packet';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';
import { callAs, keyAndCsr, renewed } from '../harness/renew.ts';
import { TimedHouse } from '../harness/timed-house.ts';

const day = 86_400_000;
let house: TimedHouse;
beforeEach(async () => {
  house = await TimedHouse.start({ 'ca.leafLifetime': '10d' });
});
afterEach(() => house[Symbol.asyncDispose]());

const https = (path: string) => `https://127.0.0.1:${house.ports.https}${path}`;
const topic = (id: string, rest: string) => `devices/${id}/${rest}`;

async function subscribed(device: DeviceIdentity, version: 4 | 5, more: object = {}): Promise<RawMqtt> {
  const raw = await RawMqtt.connected(device, house.ports.mqtts, version, more);
  const filters = ['certificates/renew/accepted', 'certificates/renew/rejected', 'errors', 'commands/#'];
  const subscriptions = filters.map((filter) => ({ topic: topic(device.id, filter), qos: 0 as const }));
  raw.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions });
  const { granted } = await raw.next('suback');
  expect(granted).toEqual([0, 0, 0, version === 5 ? 0x87 : 0x80]);
  return raw;
}
const said = (id: string, rest: string, payload: string, more: object = {}) =>
  ({
    cmd: 'publish',
    topic: topic(id, rest),
    payload,
    qos: 1,
    messageId: 2,
    dup: false,
    retain: false,
    ...more,
  }) as IPublishPacket;

test('MQTT: expired and within grace it connects, even with a Will, renews, and comes back whole', async () => {
  const old = await house.api.enroll('plant', 'pump');
  house.clock.aheadMs += 11 * day;
  const will = {
    topic: topic('pump', 'telemetry'),
    payload: Buffer.from('bye'),
    qos: 0 as const,
    retain: false,
  };
  using raw = await subscribed(old, 5, { will });
  raw.sendPacket(said('pump', 'telemetry', '1'));
  const puback = await raw.next('puback');
  expect(puback).toMatchObject({ reasonCode: 0x87 });
  expect(puback.properties.reasonString).toMatch(/renew it; nothing else/);

  const { key, csr } = await keyAndCsr('pump');
  raw.sendPacket(said('pump', 'certificates/renew', csr, { messageId: 3 }));
  const answer: IPublishPacket = await raw.next('publish');
  expect(answer.topic).toBe(topic('pump', 'certificates/renew/accepted'));
  const whole = renewed(old, JSON.parse(String(answer.payload)), key);
  const { client } = await connectDevice(whole, house.ports.mqtts, { protocolVersion: 5 });
  await client.publishAsync(topic('pump', 'telemetry'), '1', { qos: 1 });
  await client.endAsync();
  const refused = await house.metrics.registry.metrics();
  expect(refused).toMatch(/messages_refused_total\{reason="renewal-only"\} 1/);
});

test('MQTT 3.1.1 is told renewal-only on its error topic, and closed', async () => {
  const device = await house.api.enroll('plant', 'old-timer');
  house.clock.aheadMs += 11 * day;
  using raw = await subscribed(device, 4);
  raw.sendPacket(said('old-timer', 'telemetry', '1'));
  // The refused filter of its SUBSCRIBE first, then the message.
  for (const correlation of [1, 2]) {
    const answer: IPublishPacket = await raw.next('publish');
    expect(JSON.parse(String(answer.payload))).toMatchObject({ code: 'renewal-only', correlation });
  }
  await raw.ended();
});

test('HTTPS: it may ask who it is, and is refused the rest as renewal-only', async () => {
  const device = await house.api.enroll('plant', 'meter');
  const whole = await callAs(device, 'GET', https('/v1/me'));
  expect(whole.body).toMatchObject({ scope: 'whole', renewAfter: expect.any(String) });
  house.clock.aheadMs += 11 * day;
  const late = await callAs(device, 'GET', https('/v1/me'));
  expect(late.body).toMatchObject({ device: 'meter', scope: 'renewal', renewAfter: whole.body.renewAfter });
  const refused = await callAs(device, 'POST', https('/v1/telemetry'), { body: '1' });
  expect([refused.status, refused.body.code]).toEqual([403, 'renewal-only']);
});

test('beyond grace both doors say certificate-expired, and the registry does too', async () => {
  const device = await house.api.enroll('plant', 'lost');
  house.clock.aheadMs += 41 * day;
  await expect(connectDevice(device, house.ports.mqtts, { protocolVersion: 5 })).rejects.toMatchObject({
    code: 0x87,
  });
  expect((await callAs(device, 'GET', https('/v1/me'))).body.code).toBe('certificate-expired');
  const [decision] = (await house.api.call('GET', '/v1/decisions?reason=certificate-expired')).body.items;
  expect(decision).toMatchObject({ device: 'lost', admitted: false });
});

test('one that is not valid yet is whole when its time has come, on the same session', async () => {
  const device = await house.api.enroll('plant', 'early-bird');
  house.clock.aheadMs -= day / 2;
  using raw = await subscribed(device, 5);
  expect((await callAs(device, 'GET', https('/v1/me'))).body.scope).toBe('renewal');
  house.clock.aheadMs += day / 2;
  await eventually(async () => {
    raw.sendPacket(said('early-bird', 'telemetry', '1'));
    expect((await raw.next('puback')).reasonCode ?? 0).toBe(0);
  });
  house.clock.aheadMs -= day * 1.5;
  await expect(connectDevice(device, house.ports.mqtts)).rejects.toThrow();
  expect((await callAs(device, 'GET', https('/v1/me'))).body.code).toBe('certificate-not-yet-valid');
});

test('the terms of a fleet are changed live: who is in the lane leaves it, who was out comes in', async () => {
  const device = await house.api.enroll('plant', 'pump');
  house.clock.aheadMs += 11 * day;
  using raw = await subscribed(device, 5);
  expect((await house.api.call('PATCH', '/v1/fleets/plant', { grace: '1h' })).status).toBe(200);
  expect(await raw.ended()).toBe(0x87);
  await expect(connectDevice(device, house.ports.mqtts)).rejects.toThrow();
  await house.api.call('PATCH', '/v1/fleets/plant', { grace: '2d' });
  using again = await subscribed(device, 5);
  expect(again.closed).toBe(false);
});

test('a session that was whole when its certificate ran out is cut; it comes back to renew', async () => {
  const device = await house.api.enroll('plant', 'pump');
  const { closed } = await connectDevice(device, house.ports.mqtts, { protocolVersion: 5 });
  house.clock.aheadMs += 10 * day + 60_000;
  expect(await closed).toBe(0x87);
  using raw = await subscribed(device, 5);
  expect(raw.closed).toBe(false);
});
