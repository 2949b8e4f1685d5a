/** Before a device is known: networks are limited as addresses are, and whoever stalls its handshake keeps nobody out. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';

const config = `
limits:
  handshakes: 8
  handshakeQueue: 8
  helloTimeout: 1s
  handshakeTimeout: 3s
  connectRate: 100000
  connectRatePerAddress: 100000
  connectRatePerNetwork: 100000
`;

let house: House;
let device: DeviceIdentity;
beforeAll(async () => {
  house = await House.start({ config });
  device = await house.api.enroll('plant', 'd');
});
afterAll(() => house[Symbol.asyncDispose]());

/** A connection that says so much and no more. */
function stalled(port: number, bytes: Uint8Array, localAddress = '127.0.0.1'): Socket {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  if (bytes.length > 0) socket.write(bytes);
  return socket;
}
const closed = (socket: Socket) => new Promise<void>((resolve) => void socket.once('close', () => resolve()));
const halfHello = Buffer.from([22, 3, 1, 2, 0, 1, 0]);
const gauge = async (name: string): Promise<number> => {
  const text = await (await fetch(`${house.doors.ops}/metrics`)).text();
  return Number(new RegExp(`^fleetgate_${name} (\\d+)`, 'm').exec(text)?.[1]);
};

test('helloTimeout: whoever says nothing is ended', async () => {
  const silent = stalled(house.port('mqtts'), Buffer.alloc(0));
  const begun = performance.now();
  await closed(silent);
  expect(performance.now() - begun).toBeGreaterThan(900);
  expect(performance.now() - begun).toBeLessThan(2_900);
});

test('handshakeTimeout: whoever begins and does not go on is ended, later', async () => {
  const half = stalled(house.port('mqtts'), halfHello);
  const begun = performance.now();
  await closed(half);
  expect(performance.now() - begun).toBeGreaterThan(2_800);
});

test('handshakes and handshakeQueue: hundreds of stalled handshakes of one address, and a device of another comes in at once', async () => {
  const crowd = Array.from({ length: 300 }, (_, n) =>
    stalled(house.port(n % 2 ? 'mqtts' : 'https'), n % 3 ? halfHello : Buffer.alloc(0)),
  );
  await eventually(async () => expect(await gauge('handshakes_waiting')).toBeGreaterThan(0));
  expect(await gauge('handshakes_under_way')).toBeLessThanOrEqual(8);
  expect(await gauge('handshakes_waiting')).toBeLessThanOrEqual(8);
  const begun = performance.now();
  using raw = await RawMqtt.open(device, house.port('mqtts'), 5, { localAddress: '127.0.1.7' });
  expect(performance.now() - begun).toBeLessThan(1_000);
  expect(raw.closed).toBe(false);
  expect(await gauge('handshakes_dropped_total')).toBeGreaterThan(100);
  for (const socket of crowd) socket.destroy();
  await eventually(async () => expect(await gauge('handshakes_under_way')).toBe(0));
});

test('connectionsPerNetwork and connectRatePerNetwork: addresses of one /24 share what the network has', async () => {
  await using small = await House.start({
    config: 'limits: { connectionsPerNetwork: 3, connectRatePerNetwork: 4 }',
  });
  const port = small.port('mqtts');
  const three = [1, 2, 3].map((n) => stalled(port, halfHello, `127.0.2.${n}`));
  await Promise.all(three.map((socket) => once(socket, 'connect')));
  await closed(stalled(port, halfHello, '127.0.2.4'));
  const neighbour = stalled(port, halfHello, '127.0.3.1');
  await once(neighbour, 'connect');
  for (const socket of three) socket.destroy();
  const sprayed = Array.from({ length: 12 }, (_, n) => stalled(port, halfHello, `127.0.4.${n + 1}`));
  for (const socket of sprayed) socket.once('connect', () => socket.end());
  await Promise.all(sprayed.map(closed));
  const text = async () => (await fetch(`${small.doors.ops}/metrics`)).text();
  await eventually(async () => {
    expect(await text()).toMatch(/connects_total\{[^}]*reason="connection-limit"[^}]*\} [1-9]/);
    expect(await text()).toMatch(/connects_total\{[^}]*reason="connection-rate"[^}]*\} [1-9]/);
  });
  expect(neighbour.destroyed).toBe(false);
  neighbour.destroy();
});
