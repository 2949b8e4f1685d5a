/** Attacks 19 and 25: topics that are deep, long or many, and packets that are mostly properties. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { House } from '../harness/house.ts';
import { connectBytes, packet, RawMqtt } from '../harness/raw-mqtt.ts';

let house: House;
let mallory: DeviceIdentity;
beforeAll(async () => {
  house = await House.start();
  mallory = await house.api.enroll('plant', 'mallory');
});
afterAll(() => house[Symbol.asyncDispose]());

const slashes = '/'.repeat(65_000);
const userProperty = [0x26, 0, 1, 97, 0, 1, 98];
/** A variable byte integer of three bytes. */
const length = (value: number) => [(value & 127) | 128, ((value >> 7) & 127) | 128, value >> 14];

test.each([
  ['a topic of 65,000 slashes (CVE-2019-11779)', () => packet(0x32, slashes, [0, 1, 0]), 0x90],
  ['a filter of 65,000 slashes', () => packet(0x82, [0, 1, 0], slashes, [0]), 0x90],
  ['a filter that is to be left, of 65,000 slashes', () => packet(0xa2, [0, 1, 0], slashes), 0x90],
  ['a filter of 32,000 wildcards', () => packet(0x82, [0, 1, 0], '+/'.repeat(32_000), [0]), 0x90],
  [
    '30,000 user properties (CVE-2021-41039)',
    () => packet(0x30, 'devices/mallory/telemetry', length(210_000), Array(30_000).fill(userProperty).flat()),
    0x82,
  ],
] as const)('%s ends the connection at once', async (_what, bytes, code) => {
  using raw = await RawMqtt.connected(mallory, house.port('mqtts'));
  const before = performance.now();
  raw.send(bytes());
  expect(await raw.ended()).toBe(code);
  // What is split at slashes, or kept, before it is counted takes seconds.
  expect(performance.now() - before).toBeLessThan(5000);
});

test('a CONNECT that is mostly user properties is refused by its size', async () => {
  using raw = await RawMqtt.open(mallory, house.port('mqtts'));
  raw.send(
    connectBytes('mallory', 5, {
      properties: {
        userProperties: Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`k${n}`, 'v'])),
      },
    }),
  );
  expect([0x95, null]).toContain(await raw.ended());
});

test('a thousand filters in one SUBSCRIBE are refused before one is kept', async () => {
  using raw = await RawMqtt.connected(mallory, house.port('mqtts'));
  const filters = Array.from({ length: 1000 }, (_, n) => [`devices/mallory/commands/${n}/x`, [0]]).flat();
  raw.send(packet(0x82, [0, 1, 0], ...filters));
  expect(await raw.ended()).toBe(0x82);
});

test('a thousand retained messages of a device that may not retain leave nothing', async () => {
  using raw = await RawMqtt.connected(mallory, house.port('mqtts'));
  for (let n = 0; n < 1000; n++) raw.send(packet(0x31, `devices/mallory/errors/${n}`, [0], [120]));
  raw.sendPacket({ cmd: 'pingreq' });
  await raw.next('pingresp');
  const backend = await house.api.enroll('plant', 'backend');
  await house.api.call('PATCH', '/v1/devices/backend', { role: 'backend' });
  using listener = await RawMqtt.connected(backend, house.port('mqtts'));
  listener.send(packet(0x82, [0, 1, 0], 'devices/+/telemetry/#', [0]));
  await listener.next('suback');
  listener.sendPacket({ cmd: 'pingreq' });
  await listener.next('pingresp');
  expect(listener.packets.filter(({ cmd }) => cmd === 'publish')).toEqual([]);
});
