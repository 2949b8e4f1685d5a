/** The main job, end to end: enrolled, connected, authorized, forwarded, revoked. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';

let house: House;
beforeAll(async () => {
  house = await House.start();
});
afterAll(() => house[Symbol.asyncDispose]());

const payloads = async () => (await house.delivered()).map((event) => JSON.stringify(event.data));

for (const protocolVersion of [4, 5] as const) {
  test(`MQTT ${protocolVersion}: what was acknowledged reaches the backend with its origin`, async () => {
    const device = await house.api.enroll('plant', `pump-${protocolVersion}`);
    const { client } = await connectDevice(device, house.port('mqtts'), { protocolVersion });
    for (const qos of [0, 1, 2] as const) {
      await client.publishAsync(`devices/${device.id}/telemetry/pressure`, JSON.stringify({ qos }), { qos });
    }
    await client.publishAsync(`devices/${device.id}/events/door`, '{"open":true}', { qos: 1 });
    await client.endAsync();

    const events = await eventually(async () => {
      const mine = (await house.delivered()).filter((event) => event.device === device.id);
      expect(mine).toHaveLength(4);
      return mine;
    });
    expect(events.map((event) => event.data)).toEqual([{ qos: 0 }, { qos: 1 }, { qos: 2 }, { open: true }]);
    expect(events[0]).toMatchObject({
      specversion: '1.0',
      source: `/fleets/plant/devices/${device.id}`,
      type: 'fleetgate.telemetry',
      subject: 'pressure',
      fleet: 'plant',
    });
    expect(events[3]).toMatchObject({ type: 'fleetgate.event', subject: 'door' });
  });

  test(`MQTT ${protocolVersion}: a revocation ends the live connection, and the receipt says so`, async () => {
    const device = await house.api.enroll('plant', `revoked-${protocolVersion}`);
    const { closed } = await connectDevice(device, house.port('mqtts'), { protocolVersion });
    const receipt = await house.api.call('POST', `/v1/devices/${device.id}/revoke`, {
      reason: 'keyCompromise',
    });
    expect(receipt.status).toBe(200);
    expect(receipt.body).toMatchObject({
      complete: true,
      certificates: [device.fingerprint],
      sessions: [{ protocol: protocolVersion === 5 ? 'mqtt5' : 'mqtt' }],
    });
    expect(await closed).toBe(protocolVersion === 5 ? 0x98 : null);
    await expect(connectDevice(device, house.port('mqtts'), { protocolVersion })).rejects.toMatchObject({
      code: protocolVersion === 5 ? 0x8a : 5,
    });
    const decisions = await house.api.call('GET', `/v1/devices/${device.id}/decisions`);
    expect(decisions.body.items[0]).toMatchObject({ admitted: false, reason: 'certificate-revoked' });
  });
}

test('a device that is disabled is out until it is enabled', async () => {
  const device = await house.api.enroll('plant', 'sleeper');
  const { closed } = await connectDevice(device, house.port('mqtts'));
  await house.api.call('POST', '/v1/devices/sleeper/disable');
  await closed;
  await expect(connectDevice(device, house.port('mqtts'))).rejects.toMatchObject({ code: 5 });
  await house.api.call('POST', '/v1/devices/sleeper/enable');
  const { client } = await connectDevice(device, house.port('mqtts'));
  await client.endAsync();
});

test('nothing that one device says appears as another', async () => {
  const [mine, other] = [await house.api.enroll('plant', 'mine'), await house.api.enroll('plant', 'other')];
  const { client, closed } = await connectDevice(mine, house.port('mqtts'));
  client.publish(`devices/${other.id}/telemetry`, '"forged"', { qos: 1 });
  await closed;
  await expect(connectDevice(mine, house.port('mqtts'), { clientId: other.id })).rejects.toMatchObject({
    code: 2,
  });
  expect(await payloads()).not.toContain('"forged"');
});

test('the revocation of an HTTPS device ends its keep-alive connection', async () => {
  const { Agent, request } = await import('undici');
  const device = await house.api.enroll('plant', 'poster');
  const agent = new Agent({
    connections: 1,
    connect: { ca: device.ca, cert: device.certificate, key: device.key },
  });
  let closed = 0;
  agent.on('disconnect', () => {
    closed += 1;
  });
  const post = () =>
    request(`${house.doors.https}/v1/telemetry/level`, {
      dispatcher: agent,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"level":3}',
    });
  const accepted = await post();
  expect(accepted.statusCode).toBe(202);
  await accepted.body.dump();
  const receipt = await house.api.call('POST', '/v1/devices/poster/revoke');
  expect(receipt.body.sessions).toMatchObject([{ protocol: 'https' }]);
  await eventually(async () => expect(closed).toBe(1));
  const refused = await post();
  expect(refused.statusCode).toBe(403);
  expect(await refused.body.json()).toMatchObject({ code: 'certificate-revoked' });
  await agent.destroy();
});
