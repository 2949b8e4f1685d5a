/** Renewal over the live session, 3.1.1 and 5: a CSR out, a certificate in, and nothing else of the session is held up. */

import type { IPublishPacket } from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { csrDer } from '#common/x509/pem.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';
import { keyAndCsr, renewed } from '../harness/renew.ts';
import { TimedHouse } from '../harness/timed-house.ts';

const day = 86_400_000;
let house: TimedHouse;
beforeAll(async () => {
  house = await TimedHouse.start({
    'ca.leafLifetime': '10d',

    'mqtt.maxCsrSize': '2KiB',
  });
});
afterAll(() => house[Symbol.asyncDispose]());

async function due(id: string): Promise<DeviceIdentity> {
  const device = await house.api.enroll('plant', id);
  house.clock.aheadMs += 8.5 * day;
  return device;
}
const own = (id: string, rest = '') => `devices/${id}/certificates/renew${rest}`;

/** A session of the device that listens for answers. */
async function listening(device: DeviceIdentity, version: 4 | 5, more: object = {}): Promise<RawMqtt> {
  const raw = await RawMqtt.connected(device, house.ports.mqtts, version, more);
  const subscriptions = ['/accepted', '/rejected'].map((rest) => ({
    topic: own(device.id, rest),
    qos: 1 as const,
  }));
  raw.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions });
  await raw.next('suback');
  return raw;
}

const ask = (id: string, payload: string | Buffer, more: Partial<IPublishPacket> = {}) =>
  ({ cmd: 'publish', topic: own(id), payload, qos: 0, dup: false, retain: false, ...more }) as IPublishPacket;

interface Told {
  topic: string;
  document: Record<string, unknown>;
  packet: IPublishPacket;
}
async function told(raw: RawMqtt): Promise<Told> {
  const packet: IPublishPacket = await raw.next('publish');
  return { topic: packet.topic, document: JSON.parse(String(packet.payload)), packet };
}

describe.each([4, 5] as const)('protocol %i', (version) => {
  test.each([0, 1, 2] as const)('a CSR at QoS %i is answered by a certificate that connects', async (qos) => {
    const device = await due(`v${version}-q${qos}`);
    using raw = await listening(device, version);
    const { key, csr } = await keyAndCsr(device.id);
    // PEM or DER.
    const payload = qos === 1 ? csrDer(csr) : csr;
    raw.sendPacket(ask(device.id, payload, { qos, ...(qos > 0 && { messageId: 7 }) }));
    if (qos === 1) expect(await raw.next('puback')).toMatchObject({ messageId: 7 });
    if (qos === 2) {
      expect(await raw.next('pubrec')).toMatchObject({ messageId: 7 });
      raw.sendPacket({ cmd: 'pubrel', messageId: 7 });
      expect(await raw.next('pubcomp')).toMatchObject({ messageId: 7 });
    }
    const { topic, document } = await told(raw);
    expect(topic).toBe(own(device.id, '/accepted'));
    expect(document).toMatchObject({ deviceId: device.id, fleet: 'plant' });
    const { client } = await connectDevice(renewed(device, document as never, key), house.ports.mqtts);
    await client.endAsync();
  });

  test('a refusal comes on the other topic, with its code and when to come back', async () => {
    const device = await house.api.enroll('plant', `early-${version}`);
    using raw = await listening(device, version);
    raw.sendPacket(ask(device.id, (await keyAndCsr(device.id)).csr));
    const { topic, document } = await told(raw);
    expect(topic).toBe(own(device.id, '/rejected'));
    expect(document).toMatchObject({ code: 'renewal-early', renewAfter: expect.any(String) });
    expect(document.retryAfterMs).toBeGreaterThan(5 * day);
  });

  test('a session that does not listen gets no certificate', async () => {
    const device = await due(`deaf-${version}`);
    using raw = await RawMqtt.connected(device, house.ports.mqtts, version);
    const errors = `devices/${device.id}/errors`;
    raw.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: errors, qos: 0 }] });
    await raw.next('suback');
    raw.sendPacket(ask(device.id, (await keyAndCsr(device.id)).csr, { qos: 1, messageId: 2 }));
    const puback = await raw.next('puback');
    if (version === 5) expect(puback.reasonCode).toBe(0x10);
    expect((await told(raw)).document).toMatchObject({ code: 'conflict', correlation: 2 });
    expect(house.rows('SELECT 1 FROM certificates WHERE device = ?', device.id)).toHaveLength(1);
  });
});

test('the same CSR sent again gets the same certificate, over another session too', async () => {
  const device = await due('again');
  const { csr } = await keyAndCsr('again');
  const fingerprints: unknown[] = [];
  for (let n = 0; n < 2; n++) {
    using raw = await listening(device, 5);
    raw.sendPacket(ask('again', csr));
    fingerprints.push((await told(raw)).document.fingerprint);
  }
  expect(fingerprints[0]).toBe(fingerprints[1]);
});

test('MQTT 5: the answer goes to the response topic with the correlation data', async () => {
  const device = await due('caller');
  using raw = await listening(device, 5);
  const properties = { responseTopic: own('caller', '/accepted'), correlationData: Buffer.from([1, 2, 3]) };
  raw.sendPacket(ask('caller', 'no CSR', { properties }));
  const { topic, document, packet } = await told(raw);
  expect(topic).toBe(own('caller', '/accepted'));
  expect(document.code).toBe('csr-malformed');
  expect(packet.properties?.correlationData).toEqual(Buffer.from([1, 2, 3]));
});

test('MQTT 5: a response topic of somebody else is one where nobody listens', async () => {
  const device = await due('sly');
  using raw = await listening(device, 5);
  const properties = { responseTopic: 'devices/victim/commands/1/open' };
  raw.sendPacket(ask('sly', (await keyAndCsr('sly')).csr, { qos: 1, messageId: 3, properties }));
  expect((await raw.next('puback')).reasonCode).toBe(0x10);
});

test('MQTT 5: an answer longer than the client takes is not sent; it is told so', async () => {
  const device = await due('narrow');
  using raw = await listening(device, 5, { properties: { maximumPacketSize: 512 } });
  raw.sendPacket(ask('narrow', (await keyAndCsr('narrow')).csr));
  expect((await told(raw)).document.code).toBe('too-large');
});

test('telemetry goes on beside a renewal, a CSR too long is refused, and a session waits a moment after an answer', async () => {
  const device = await due('busy');
  using raw = await listening(device, 5);
  raw.sendPacket(ask('busy', (await keyAndCsr('busy')).csr));
  raw.sendPacket({ ...ask('busy', '1'), topic: 'devices/busy/telemetry', qos: 1, messageId: 9 });
  expect(await raw.next('puback')).toMatchObject({ messageId: 9 });
  expect((await told(raw)).topic).toBe(own('busy', '/accepted'));
  raw.sendPacket(ask('busy', (await keyAndCsr('busy')).csr));
  const { document } = await told(raw);
  expect(document.code).toBe('rate-limited');
  expect(document.retryAfterMs).toBeLessThanOrEqual(1000);
  raw.sendPacket(ask('busy', `-----BEGIN CERTIFICATE REQUEST-----\n${'A'.repeat(3 * 1024)}`));
  expect((await told(raw)).document.code).toBe('csr-too-large');
});

test('nobody hears of a CSR: the broker never sees it', async () => {
  const device = await due('quiet');
  await house.api.call('PUT', '/v1/roles/nosy', {
    rules: [{ allow: 'subscribe', pattern: '#' }],
  });
  const nosy = await house.api.enroll('plant', 'nosy');
  await house.api.call('PATCH', '/v1/devices/nosy', { role: 'nosy' });
  using listener = await RawMqtt.connected(nosy, house.ports.mqtts, 5);
  listener.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] });
  await listener.next('suback');
  using raw = await listening(device, 5);
  raw.sendPacket(ask('quiet', (await keyAndCsr('quiet')).csr));
  await told(raw);
  raw.sendPacket({ ...ask('quiet', 'heard'), topic: 'devices/quiet/telemetry' });
  const heard: IPublishPacket = await listener.next('publish');
  expect(heard.topic).toBe('devices/quiet/telemetry');
});
test('a Will on the topic of renewals is refused', async () => {
  const device = await due('willful');
  const will = { topic: own('willful'), payload: Buffer.from('x'), qos: 0 as const, retain: false };
  await expect(RawMqtt.connected(device, house.ports.mqtts, 5, { will })).rejects.toThrow('135');
});
