/** Several workers are one gateway: whoever asks, wherever a device comes in. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { metricsOf } from '../harness/metrics-page.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { connectBytes, packet, RawMqtt } from '../harness/raw-mqtt.ts';
import { connectAt, gatewayOf } from '../harness/worker-house.ts';

const workers = 2;
const fleetSize = 60;

let house: House;
let fleet: DeviceIdentity[];

beforeAll(async () => {
  house = await House.start({ workers });
  fleet = await Promise.all(
    Array.from({ length: fleetSize }, (_, n) => house.api.enroll('plant', `pump-${n}`)),
  );
});
afterAll(() => house[Symbol.asyncDispose]());

const connectAll = () => Promise.all(fleet.map((device) => RawMqtt.connected(device, house.port('mqtts'))));

test('sessions, decisions and metrics are those of all workers', async () => {
  const connected = await connectAll();
  const gateways = await Promise.all(fleet.map((device) => gatewayOf(house, device)));
  expect([...new Set(gateways)].sort()).toEqual(['gateway/1', 'gateway/2']);
  for (const { id } of fleet.slice(0, 5)) {
    const { body } = await house.api.call('GET', `/v1/devices/${id}/decisions`);
    expect(body.items[0]).toMatchObject({ admitted: true, device: id });
  }
  const metrics = await metricsOf(house);
  expect(metrics.get('fleetgate_connections{protocol="mqtt5"}')).toBe(fleetSize);
  expect(metrics.get('fleetgate_workers')).toBe(workers);
  const admitted = 'fleetgate_connects_total{protocol="mqtt5",result="admitted",reason="none"}';
  expect(metrics.get(admitted)).toBe(fleetSize);
  const ready = await fetch(`${house.doors.ops}/readyz`);
  expect(await ready.json()).toEqual({ ready: true, reasons: [] });
  for (const { socket } of connected) socket.destroy();
});

test('telemetry of all workers reaches the backend, each event once, and the ledger is exact', async () => {
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
    const events = await house.delivered();
    expect(events).toHaveLength(sent.size);
    expect(new Set(events.map(({ data }) => (data as { mark: string }).mark))).toEqual(sent);
    expect(new Set(events.map(({ id }) => id)).size).toBe(sent.size);
  });
  await eventually(async () => {
    const metrics = await metricsOf(house);
    const accepted = metrics.get('fleetgate_messages_accepted_total{class="telemetry",protocol="mqtt"}');
    expect(accepted).toBe(sent.size);
    expect(metrics.get('fleetgate_messages_delivered_total{backend="file"}')).toBe(sent.size);
    expect(metrics.get('fleetgate_messages_pending{backend="file"}')).toBe(0);
  });
});

test('a device that comes in at another worker takes its session over', async () => {
  const device = fleet[0]!;
  for (const [from, to] of [
    ['gateway/1', 'gateway/2'],
    ['gateway/2', 'gateway/1'],
  ] as const) {
    for (let moved = false; !moved; ) {
      using older = await connectAt(house, device, from);
      using newer = await RawMqtt.connected(device, house.port('mqtts'));
      // [MQTT-3.1.4-3]: the older session was told, and is gone, whichever worker has the newer.
      expect(await older.ended()).toBe(0x8e);
      expect(newer.closed).toBe(false);
      moved = (await gatewayOf(house, device)) === to;
    }
  }
});

test('a session with a Will is taken over, and the Will of the older one leaves', async () => {
  const device = fleet[2]!;
  const will = { topic: `devices/${device.id}/events/gone`, payload: Buffer.from('"gone"'), qos: 1 as const };
  using older = await connectAt(house, device, 'gateway/1', { will } as never);
  using newer = await connectAt(house, device, 'gateway/2', { will } as never);
  expect(await older.ended()).toBe(0x8e);
  expect(newer.closed).toBe(false);
  await eventually(async () => {
    const gone = (await house.delivered()).filter(({ subject }) => subject === 'gone');
    expect(gone.length).toBeGreaterThan(0);
  });
});

test('what is published at one worker reaches who subscribes at another', async () => {
  const listener = await house.api.enroll('plant', 'listener');
  await house.api.call('PATCH', '/v1/devices/listener', { role: 'backend' });
  for (const [here, there] of [
    ['gateway/1', 'gateway/2'],
    ['gateway/2', 'gateway/1'],
  ] as const) {
    using ears = await connectAt(house, listener, here);
    ears.send(packet(0x82, [0, 1, 0], 'devices/+/telemetry/#', [1]));
    await ears.next('suback');
    using speaker = await connectAt(house, fleet[3]!, there);
    // SUBACK has said that it is in force, everywhere.
    speaker.send(packet(0x32, `devices/${fleet[3]!.id}/telemetry`, [0, 7, 0], `from ${there}`));
    await speaker.next('puback');
    const heard = await ears.next('publish');
    expect(heard).toMatchObject({ topic: `devices/${fleet[3]!.id}/telemetry`, qos: 1, retain: false });
    expect(String(heard.payload)).toContain(`from ${there}`);
    // And to nobody twice.
    speaker.send(packet(0x30, `devices/${fleet[3]!.id}/telemetry`, [0], 'last'));
    expect(String((await ears.next('publish')).payload)).toContain('last');
  }
});

test('a ticket of one worker is good at the others, and no way around a revocation', async () => {
  const device = await house.api.enroll('tickets', 'resumes');
  let session: Buffer | undefined;
  const connect = async () => {
    const raw = await RawMqtt.open(device, house.port('mqtts'), 5, { session });
    raw.socket.on('session', (ticket) => {
      session = ticket;
    });
    const reused = raw.socket.isSessionReused();
    raw.send(connectBytes(device.id, 5));
    const { reasonCode } = await raw.next('connack');
    return { raw, reasonCode, reused };
  };
  const first = await connect();
  expect(first).toMatchObject({ reasonCode: 0, reused: false });
  first.raw.socket.destroy();
  const seen = new Set<string>();
  for (let n = 0; seen.size < workers || n < 6; n++) {
    const { raw, ...resumed } = await connect();
    expect(resumed).toEqual({ reasonCode: 0, reused: true });
    seen.add(await gatewayOf(house, device));
    raw.socket.destroy();
  }
  await house.api.call('POST', `/v1/devices/${device.id}/revoke`);
  for (let n = 0; n < 8; n++) {
    const { raw, ...revoked } = await connect();
    expect(revoked).toEqual({ reasonCode: 0x8a, reused: true });
    raw.socket.destroy();
  }
});

test('a revocation of the fleet closes every connection at every worker, and the receipt names them', async () => {
  const connected = await connectAll();
  const { body } = await house.api.call('POST', '/v1/fleets/plant/revoke', {
    reason: 'cessationOfOperation',
  });
  expect(body).toMatchObject({ complete: true });
  expect(body.sessions).toHaveLength(fleetSize);
  const names = new Set(body.sessions.map(({ gateway }: { gateway: string }) => gateway));
  expect([...names].sort()).toEqual(['gateway/1', 'gateway/2']);
  expect(await Promise.all(connected.map((raw) => raw.ended()))).toEqual(Array(fleetSize).fill(0x98));
  const slowestMs = Math.max(
    ...body.sessions.map(({ closedAfterMs }: { closedAfterMs: number }) => closedAfterMs),
  );
  console.info(`${fleetSize} connections at ${workers} workers were closed after ${slowestMs} ms at most`);
  expect(slowestMs).toBeLessThan(1_000);
  // Nobody comes back, wherever it tries.
  for (let n = 0; n < 8; n++) {
    using again = await RawMqtt.open(fleet[1]!, house.port('mqtts'));
    again.sendPacket({
      cmd: 'connect',
      clientId: fleet[1]!.id,
      protocolVersion: 5,
      protocolId: 'MQTT',
      clean: true,
    });
    expect((await again.next('connack')).reasonCode).toBe(0x8a);
  }
});
