/** Devices that were made for other platforms: their topics mean ours, by whose rights they are judged. */
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';

let house: House;
let pump: DeviceIdentity;
beforeAll(async () => {
  house = await House.start({ config: 'mqtt: { topics: [native, hono, aws] }\n' });
  pump = await house.api.enroll('plant', 'pump');
});
afterAll(() => house[Symbol.asyncDispose]());

const delivered = async (mark: string): Promise<Record<string, unknown>> =>
  eventually(async () => {
    const event = (await house.delivered()).find(({ data }) => data === mark);
    if (!event) throw new Error(`${mark} has not arrived`);
    return event;
  });

test.each([
  ['telemetry', 'fleetgate.telemetry', undefined],
  ['e/plant/pump/door', 'fleetgate.event', 'door'],
  ['dt/hvac/berlin/pump/temperature', 'fleetgate.telemetry', 'hvac/berlin/temperature'],
  ['$aws/rules/store/x', 'fleetgate.telemetry', 'store/x'],
  ['devices/pump/telemetry/own', 'fleetgate.telemetry', 'own'],
])('%s arrives as %s of channel %s', async (topic, type, subject) => {
  const { client } = await connectDevice(pump, house.port('mqtts'));
  await client.publishAsync(topic, JSON.stringify(`by ${topic}`), { qos: 1 });
  await client.endAsync();
  const event = await delivered(`by ${topic}`);
  expect(event).toMatchObject({ type, device: 'pump', fleet: 'plant' });
  expect(event.subject || undefined).toBe(subject);
});

test('the property bag says what the payload is', async () => {
  const { client } = await connectDevice(pump, house.port('mqtts'));
  await client.publishAsync('telemetry/?content-type=text%2Fplain', 'in a bag', { qos: 1 });
  await client.endAsync();
  expect(await delivered('in a bag')).toMatchObject({ datacontenttype: 'text/plain' });
});

test('a Will on a topic of another platform leaves as an event', async () => {
  const { client } = await connectDevice(pump, house.port('mqtts'), {
    will: { topic: 'event', payload: Buffer.from('"farewell"'), qos: 1, retain: false },
  });
  client.stream.destroy();
  expect(await delivered('farewell')).toMatchObject({ type: 'fleetgate.event' });
});

test.each(['telemetry/plant/other', 't/elsewhere/pump', 'dt/hvac/berlin/other/temperature'])(
  '%s, for somebody else, is refused like any topic that is not granted',
  async (topic) => {
    const { client } = await connectDevice(pump, house.port('mqtts'), { protocolVersion: 5 });
    await expect(client.publishAsync(topic, '"x"', { qos: 1 })).rejects.toMatchObject({ code: 0x87 });
    await client.endAsync();
  },
);

test('rights are those of the topic that is meant', async () => {
  const rules = [{ allow: 'publish', pattern: 'telemetry' }];
  expect((await house.api.call('PUT', '/v1/roles/mute', { rules })).status).toBeLessThan(300);
  const mute = await house.api.enroll('plant', 'mute-too');
  await house.api.call('PATCH', '/v1/devices/mute-too', { role: 'mute' });
  const { client } = await connectDevice(mute, house.port('mqtts'), { protocolVersion: 5 });
  await expect(client.publishAsync('telemetry', '"x"', { qos: 1 })).rejects.toMatchObject({ code: 0x87 });
  await client.endAsync();
});

test.each([
  [
    'command/+/+/req/#',
    (id: string) => `command///req/${id}/open`,
    (id: string) => `command///res/${id}/200`,
  ],
  [
    'cmd/hvac/berlin/pump/req/#',
    (id: string) => `cmd/hvac/berlin/pump/req/${id}/open`,
    (id: string) => `cmd/hvac/berlin/pump/res/${id}/200`,
  ],
])('a command comes and is answered by %s', async (filter, requestTopic, replyTopic) => {
  const { client } = await connectDevice(pump, house.port('mqtts'));
  const heard: string[] = [];
  client.on('message', (topic) => {
    heard.push(topic);
    const id = topic.split('/').at(-2)!;
    client.publish(replyTopic(id), '"done"', { qos: 1 });
  });
  await client.subscribeAsync(filter, { qos: 1 });
  const { status, body } = await house.api.call('POST', '/v1/devices/pump/commands', {
    name: 'open',
    payload: 'now',
    wait: '10s',
  });
  expect(status).toBe(200);
  expect(body).toMatchObject({ state: 'replied', reply: { status: 200 } });
  expect(heard).toEqual([requestTopic(body.commandId)]);
  await client.endAsync();
});

test('a session that is kept has such a subscription when it is back, and the command that came meanwhile', async () => {
  const keeper = await house.api.enroll('plant', 'keeper');
  const { client } = await connectDevice(keeper, house.port('mqtts'), { clean: false });
  await client.subscribeAsync('c/+/+/q/#', { qos: 1 });
  await client.endAsync();
  const { body } = await house.api.call('POST', '/v1/devices/keeper/commands', {
    name: 'open',
    payload: 'x',
  });
  const raw = await RawMqtt.open(keeper, house.port('mqtts'), 4);
  raw.send(connectBytes('keeper', 4, { clean: false }));
  expect((await raw.next('connack')).sessionPresent).toBe(true);
  expect((await raw.next('publish')).topic).toBe(`c///q/${body.commandId}/open`);
  raw[Symbol.dispose]();
});

test('HTTP as with Hono', async () => {
  const agent = new Agent({ connect: { ca: pump.ca, cert: pump.certificate, key: pump.key } });
  const post = async (method: 'POST' | 'PUT', path: string, body: string) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await request(house.doors.https + path, { method, body, headers, dispatcher: agent });
    await answer.body.dump();
    return answer.statusCode;
  };
  expect(await post('POST', '/telemetry', '"by POST"')).toBe(202);
  expect(await post('PUT', '/event/plant/pump', '"by PUT"')).toBe(202);
  expect(await post('PUT', '/event/plant/other', '"by PUT"')).toBe(404);
  await agent.destroy();
  expect(await delivered('by POST')).toMatchObject({ type: 'fleetgate.telemetry' });
  expect(await delivered('by PUT')).toMatchObject({ type: 'fleetgate.event' });
});

test('without being asked for, topics of others are topics like any', async () => {
  await using plain = await House.start();
  const device = await plain.api.enroll('plant', 'pump');
  const { client } = await connectDevice(device, plain.port('mqtts'), { protocolVersion: 5 });
  await expect(client.publishAsync('telemetry', '"x"', { qos: 1 })).rejects.toMatchObject({ code: 0x87 });
  await client.endAsync();
});
