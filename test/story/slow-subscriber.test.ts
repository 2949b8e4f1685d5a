/** A subscriber that stops reading costs nobody else anything: not the house, not its neighbour, not the speaker. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { packet, RawMqtt } from '../harness/raw-mqtt.ts';

const topic = 'devices/speaker/telemetry';
const payload = [...Buffer.alloc(4_000)];

let house: House;
let identity: DeviceIdentity;
beforeAll(async () => {
  house = await House.start({ config: 'mqtt: { maxQueuedSize: 64KiB, drainTimeout: 1m }' });
  identity = await house.api.enroll('plant', 'speaker');
});
afterAll(() => house[Symbol.asyncDispose]());

test('at QoS 0 it misses what does not fit, and leaves without taking the house along', async () => {
  const frozen = await subscriber('frozen', 0);
  frozen.socket.pause();
  using speaker = await RawMqtt.connected(identity, house.port('mqtts'));
  // First what fills the kernels' buffers; then so many that a queue emptied by recursion would end the process.
  speaker.send(Buffer.concat(Array(3_000).fill(packet(0x30, topic, [0], payload))));
  speaker.send(Buffer.concat(Array(30_000).fill(packet(0x30, topic, [0], [49]))));
  speaker.sendPacket({ cmd: 'pingreq' });
  await speaker.next('pingresp');
  await eventually(async () => expect(await missed()).toBeGreaterThan(10_000), { timeoutMs: 20_000 });
  expect(frozen.closed).toBe(false);
  frozen.socket.destroy();
  await eventually(async () => expect(await sessions('frozen')).toEqual([]));
  const reading = await subscriber('reading', 0);
  speaker.send(packet(0x30, topic, [0], [50]));
  expect((await reading.next('publish')).payload).toEqual(Buffer.from('2'));
  reading.socket.destroy();
});

test('at QoS 1 it is closed: what does not fit may not be missed', async () => {
  const eager = await subscriber('eager', 1);
  eager.socket.pause();
  using speaker = await RawMqtt.connected(identity, house.port('mqtts'), 4);
  await eventually(
    async () => {
      speaker.send(
        Buffer.concat(
          Array.from({ length: 500 }, (_, n) => packet(0x32, topic, [(n + 1) >> 8, (n + 1) & 0xff], payload)),
        ),
      );
      expect(await sessions('eager')).toEqual([]);
    },
    { timeoutMs: 20_000 },
  );
  expect(speaker.closed).toBe(false);
});

async function subscriber(id: string, qos: 0 | 1): Promise<RawMqtt> {
  const device = await house.api.enroll('plant', id);
  await house.api.call('PATCH', `/v1/devices/${id}`, { role: 'backend' });
  const raw = await RawMqtt.connected(device, house.port('mqtts'));
  raw.send(packet(0x82, [0, 1, 0], 'devices/+/telemetry/#', [qos]));
  await raw.next('suback');
  return raw;
}

async function sessions(id: string): Promise<unknown[]> {
  return (await house.api.call('GET', `/v1/devices/${id}`)).body.sessions;
}

async function missed(): Promise<number> {
  const text = await (await fetch(`${house.doors.ops}/metrics`)).text();
  return Number(/^fleetgate_messages_missed_total (\d+)$/m.exec(text)?.[1]);
}
