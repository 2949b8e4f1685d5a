/** How much a device may send: by role, fleet and device, held back, dropped or ended, on both doors, changed while it is in. */
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { packet, RawMqtt } from '../harness/raw-mqtt.ts';

let house: House;
const devices: Record<string, DeviceIdentity> = {};
beforeAll(async () => {
  house = await House.start({ config: 'limits: { messageRatePatience: 1s }' });
  for (const id of ['held', 'dropped', 'pushy', 'web', 'live', 'lone'])
    devices[id] = await house.api.enroll('plant', id);
});
afterAll(() => house[Symbol.asyncDispose]());

const limit = async (id: string, limits: object | null) => {
  const { status } = await house.api.call('PATCH', `/v1/devices/${id}`, { limits });
  expect(status).toBe(200);
};
const publish = (id: string, qos: 0 | 1, count: number, from = 1): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, n) =>
      packet(0x30 | (qos << 1), `devices/${id}/telemetry`, qos ? [0, from + n, 0] : [0], [49]),
    ),
  );
const acknowledged = (raw: RawMqtt) => raw.packets.filter(({ cmd }) => cmd === 'puback').length;
const refused = async (): Promise<number> => {
  const text = await (await fetch(`${house.doors.ops}/metrics`)).text();
  return Number(/messages_refused_total\{reason="message-rate"\} (\d+)/.exec(text)?.[1]);
};

test('QoS 1 beyond the limit is held back: it takes its time, nothing is lost, and a ping is answered', async () => {
  await limit('held', { messages: ['20/s'], bytes: ['1MiB/s'] });
  using raw = await RawMqtt.connected(devices.held!, house.port('mqtts'));
  const begun = performance.now();
  raw.send(publish('held', 1, 30));
  raw.sendPacket({ cmd: 'pingreq' });
  await raw.next('pingresp');
  await eventually(() => expect(acknowledged(raw)).toBe(30));
  expect(performance.now() - begun).toBeGreaterThan(450);
  expect(raw.closed).toBe(false);
});

test('QoS 0 beyond the limit is dropped, and counted', async () => {
  await limit('dropped', { messages: ['10/min'] });
  const before = await refused();
  using raw = await RawMqtt.connected(devices.dropped!, house.port('mqtts'));
  raw.send(publish('dropped', 0, 25));
  raw.sendPacket({ cmd: 'pingreq' });
  await raw.next('pingresp');
  expect((await refused()) - before).toBe(15);
  expect(raw.closed).toBe(false);
});

test('messageRatePatience: a device that keeps pushing is ended with 0x96', async () => {
  await limit('pushy', { messages: ['20/s'] });
  using raw = await RawMqtt.connected(devices.pushy!, house.port('mqtts'));
  raw.send(publish('pushy', 1, 200));
  expect(await raw.ended()).toBe(0x96);
  expect(acknowledged(raw)).toBeGreaterThan(20);
});

test('HTTPS is told when to come again; a batch counts as many', async () => {
  await limit('web', { messages: ['5/min'] });
  const { ca, certificate: cert, key } = devices.web!;
  const agent = new Agent({ connect: { ca, cert, key } });
  const post = (path: string, body: string) =>
    request(`${house.doors.https}${path}`, { dispatcher: agent, method: 'POST', body });
  const batch = await post('/v1/telemetry:batch', '{"data":1}\n'.repeat(4));
  expect(batch.statusCode).toBe(202);
  expect((await post('/v1/telemetry', '1')).statusCode).toBe(202);
  const late = await post('/v1/telemetry', '1');
  expect(late.statusCode).toBe(429);
  expect(Number(late.headers['retry-after'])).toBeGreaterThan(5);
  expect(await late.body.json()).toMatchObject({ code: 'message-rate' });
  // Its MQTT session shares what it has.
  using raw = await RawMqtt.connected(devices.web!, house.port('mqtts'));
  const before = await refused();
  raw.send(publish('web', 0, 3));
  raw.sendPacket({ cmd: 'pingreq' });
  await raw.next('pingresp');
  expect((await refused()) - before).toBe(3);
  await agent.destroy();
});

test('role, fleet and device: the most specific counts, and a change reaches live sessions', async () => {
  const { body: role } = await house.api.call('GET', '/v1/roles/device');
  const { name: _, ...document } = role;
  const put = (limits?: object) =>
    house.api.call('PUT', '/v1/roles/device', { ...document, ...(limits && { limits }) });
  using raw = await RawMqtt.connected(devices.live!, house.port('mqtts'));
  const passes = async (count: number): Promise<number> => {
    const before = await refused();
    raw.send(publish('live', 0, count));
    raw.sendPacket({ cmd: 'pingreq' });
    await raw.next('pingresp');
    return count - ((await refused()) - before);
  };
  expect(await passes(20)).toBe(20);
  expect((await put({ messages: ['4/d'] })).status).toBe(200);
  expect(await passes(20)).toBe(4);
  expect((await house.api.call('PATCH', '/v1/fleets/plant', { limits: { messages: ['6/d'] } })).status).toBe(
    200,
  );
  await eventually(async () => expect(await passes(20)).toBe(6));
  await limit('live', { messages: ['8/d'] });
  expect(await passes(20)).toBe(8);
  await limit('live', { messages: [] });
  expect(await passes(20)).toBe(20);
  const fleet = await house.api.call('PATCH', '/v1/fleets/plant', { limits: null });
  expect(fleet.body.limits).toBeNull();
  expect((await put()).status).toBe(200);
  const { body: audit } = await house.api.call('GET', '/v1/audit?since=0&limit=1000');
  const entries = audit.items.filter(({ target }: { target: string }) => target === 'live');
  expect(entries.at(-1).detail).toMatchObject({
    before: { limits: { messages: ['8/d'] } },
    after: { limits: { messages: [] } },
  });
});

test('limits that cannot be read are refused where they are written', async () => {
  for (const limits of [
    { messages: ['100/week'] },
    { bytes: ['100/s'] },
    { messages: Array(5).fill('1/s') },
    { x: 1 },
  ])
    expect((await house.api.call('PATCH', '/v1/devices/lone', { limits })).status).toBe(400);
});
