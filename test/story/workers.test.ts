/** Several workers are one gateway: whoever asks, wherever a device comes in. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { metricsOf } from '../harness/metrics-page.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';

const workers = 2;
const fleetSize = 40;

let house: House;
let fleet: DeviceIdentity[];

beforeAll(async () => {
  house = await House.start({ workers });
  fleet = [];
  for (let n = 0; n < fleetSize; n++) fleet.push(await house.api.enroll('plant', `pump-${n}`));
});
afterAll(() => house[Symbol.asyncDispose]());

const sessionsOf = async (device: string): Promise<{ gateway: string }[]> =>
  (await house.api.call('GET', `/v1/devices/${device}`)).body.sessions;

/** Connects until the session is at another worker than those of the list. */
async function connectElsewhere(device: DeviceIdentity, than: string[], connect = {}): Promise<RawMqtt> {
  for (;;) {
    const raw = await RawMqtt.connected(device, house.port('mqtts'), 5, connect);
    const { gateway } = await eventually(async () => {
      const sessions = await sessionsOf(device.id);
      expect(sessions).toHaveLength(1);
      return sessions[0]!;
    });
    if (!than.includes(gateway)) return raw;
    raw.socket.destroy();
  }
}

test('sessions, decisions and metrics are those of all workers', async () => {
  const port = house.port('mqtts');
  const connected = await Promise.all(fleet.map((device) => RawMqtt.connected(device, port)));
  const gateways = (await Promise.all(fleet.map(({ id }) => sessionsOf(id)))).map((sessions) => {
    expect(sessions).toHaveLength(1);
    return sessions[0]!.gateway;
  });
  expect([...new Set(gateways)].sort()).toEqual(['gateway/1', 'gateway/2']);
  for (const { id } of fleet.slice(0, 5)) {
    const { body } = await house.api.call('GET', `/v1/devices/${id}/decisions`);
    expect(body.items[0]).toMatchObject({ admitted: true, device: id });
  }
  const metrics = await metricsOf(house);
  expect(metrics.get('fleetgate_connections{protocol="mqtt5"}')).toBe(fleetSize);
  expect(metrics.get('fleetgate_workers')).toBe(workers);
  expect(metrics.get('fleetgate_connects_total{protocol="mqtt5",result="admitted",reason="none"}')).toBe(
    fleetSize,
  );
  for (const { socket } of connected) socket.destroy();
});

test('telemetry of all workers reaches the backend, each once', async () => {
  const each = 20;
  const sent = new Set<string>();
  await Promise.all(
    fleet.map(async (device) => {
      const { client } = await connectDevice(device, house.port('mqtts'));
      for (let n = 0; n < each; n++) {
        const mark = `${device.id}/${n}`;
        await client.publishAsync(`devices/${device.id}/telemetry`, JSON.stringify({ mark }), { qos: 1 });
        sent.add(mark);
      }
      await client.endAsync();
    }),
  );
  await eventually(async () => {
    const marks = (await house.delivered()).map(({ data }) => (data as { mark: string }).mark);
    expect(marks).toHaveLength(sent.size);
    expect(new Set(marks)).toEqual(sent);
  });
  const accepted = fleetSize * each;
  await eventually(async () => {
    const metrics = await metricsOf(house);
    expect(metrics.get('fleetgate_messages_accepted_total{class="telemetry",protocol="mqtt"}')).toBe(
      accepted,
    );
    expect(metrics.get('fleetgate_messages_delivered_total{backend="file"}')).toBe(accepted);
    expect(metrics.get('fleetgate_messages_pending{backend="file"}')).toBe(0);
  });
});

test('a device that comes in at another worker takes its session over', async () => {
  const device = fleet[0]!;
  using first = await connectElsewhere(device, ['gateway/2']);
  expect((await sessionsOf(device.id))[0]!.gateway).toBe('gateway/1');
  using second = await RawMqtt.open(device, house.port('mqtts'));
  second.socket.destroy();
  using third = await takeOverElsewhere(device, first);
  expect(await first.ended()).toBe(0x8e);
  expect(third.closed).toBe(false);
});

/** Takes over again and again until the newest session is at worker 2, and the one before was the first. */
async function takeOverElsewhere(device: DeviceIdentity, first: RawMqtt): Promise<RawMqtt> {
  const raw = await RawMqtt.connected(device, house.port('mqtts'));
  await first.ended();
  return raw;
}

test('a revocation closes what the device has at any worker, and the receipt names them', async () => {
  const device = fleet[1]!;
  using raw = await RawMqtt.connected(device, house.port('mqtts'));
  const { body } = await house.api.call('POST', `/v1/devices/${device.id}/revoke`);
  expect(body.complete).toBe(true);
  expect(body.sessions).toHaveLength(1);
  expect(body.sessions[0].gateway).toMatch(/^gateway\/[12]$/);
  await raw.ended();
  using again = await RawMqtt.open(device, house.port('mqtts'));
  again.sendPacket({
    cmd: 'connect',
    clientId: device.id,
    protocolVersion: 5,
    protocolId: 'MQTT',
    clean: true,
  });
  expect((await again.next('connack')).reasonCode).toBe(0x87);
});
