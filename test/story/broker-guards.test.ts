/** What ends a bare aedes 2.0.0-beta.1, or makes it answer wrongly, sent to a bare one and to ours. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { end, House } from '../harness/house.ts';
import { connectBytes, packet, RawMqtt } from '../harness/raw-mqtt.ts';

let house: House;
let device: DeviceIdentity;
beforeAll(async () => {
  house = await House.start();
  device = await house.api.enroll('plant', 'constructor');
});
afterAll(() => house[Symbol.asyncDispose]());

interface Bare {
  socket: Socket;
  heard(): Buffer;
  /** Whether process and connection have survived. */
  alive(): boolean;
}

async function withBareAedes(talk: (bare: Bare) => Promise<void>): Promise<void> {
  const child = spawn(process.execPath, ['test/harness/bare-aedes.ts'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    const [line] = (await once(child.stdout!, 'data')) as [Buffer];
    const socket = connect(Number(line.toString()), '127.0.0.1');
    const chunks: Buffer[] = [];
    let open = true;
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      open = false;
    });
    await once(socket, 'connect');
    await talk({ socket, heard: () => Buffer.concat(chunks), alive: () => open && child.exitCode === null });
    socket.destroy();
  } finally {
    await end(child, 'SIGKILL');
  }
}

/** Packets that must not end the process; to ours they are what any device may send or be refused for. */
const killers: [what: string, bytes: Buffer[]][] = [
  ['SUBSCRIBE to constructor', [packet(0x82, [0, 1, 0], 'constructor', [0])]],
  ['UNSUBSCRIBE from constructor', [packet(0xa2, [0, 1, 0], 'constructor')]],
  [
    'a PUBREL that is sent twice',
    [
      packet(0x34, 'devices/constructor/telemetry', [0, 7, 0], [49]),
      packet(0x62, [0, 7]),
      packet(0x62, [0, 7]),
    ],
  ],
];

test.each(killers)('%s: a bare broker does not survive it', async (_what, packets) => {
  await withBareAedes(async ({ socket, heard, alive }) => {
    socket.write(connectBytes('someone', 5));
    await eventually(() => expect(heard().length).toBeGreaterThan(3));
    for (const bytes of packets) socket.write(bytes);
    await eventually(() => expect(alive()).toBe(false));
  });
});

test.each(killers)('%s: ours does, and the device is served on', async (_what, packets) => {
  using raw = await RawMqtt.connected(device, house.port('mqtts'));
  for (const bytes of packets) raw.send(bytes);
  raw.sendPacket({ cmd: 'pingreq' });
  await raw.next('pingresp');
});

test('a client id of constructor: a bare broker does not survive it', async () => {
  await withBareAedes(async ({ socket, alive }) => {
    socket.write(connectBytes('constructor', 5));
    await eventually(() => expect(alive()).toBe(false));
  });
});

test('a client id of constructor: ours serves it, with session, Will and subscription', async () => {
  for (let round = 0; round < 2; round++) {
    using raw = await RawMqtt.connected(device, house.port('mqtts'), 5, {
      clean: false,
      properties: { sessionExpiryInterval: 60 },
      will: {
        topic: 'devices/constructor/telemetry',
        payload: Buffer.from('1'),
        qos: 0,
        retain: false,
      },
    });
    raw.send(packet(0x82, [0, 1, 0], 'devices/constructor/commands/#', [1]));
    expect((await raw.next('suback')).granted).toEqual([1]);
  }
});

/** The same bytes, with a client id that a bare broker survives and with that of our device. */
type From = (id: string) => Buffer;
const will =
  (topic: string, flags: number): From =>
  (id) =>
    packet(0x10, 'MQTT', [4, flags, 0, 60], id, topic, 'x');
const hello: From = (id) => connectBytes(id, 4);

/** What a bare broker lets through: it answers as if nothing were wrong. Ours ends the connection. */
const lax: [what: string, connect: From, packets: Buffer[]][] = [
  ['packet identifier 0', hello, [packet(0x32, 'a', [0, 0])]],
  ['a NUL in a topic', hello, [packet(0x30, 'a\0b')]],
  ['U+D800 in a topic', hello, [packet(0x30, [0, 3, 0xed, 0xa0, 0x80])]],
  ['a Will to a wildcard', will('devices/+/telemetry', 0x06), []],
  ['a Will on a topic of another', will('devices/another/telemetry', 0x06), []],
  ['a Will with QoS 3', will('devices/constructor/telemetry', 0x1e), []],
  ['a PUBACK with bytes after its end', hello, [packet(0x40, [0, 1, 9, 9])]],
];

test.each(lax)('%s: a bare broker goes on', async (_what, connects, packets) => {
  await withBareAedes(async ({ socket, heard, alive }) => {
    socket.write(connects('someone'));
    await eventually(() => expect(heard().length).toBeGreaterThan(3));
    expect(heard()[3]).toBe(0);
    for (const bytes of packets) socket.write(bytes);
    socket.write(packet(0xc0));
    await eventually(() => expect(heard().includes(Buffer.from([0xd0, 0]))).toBe(true));
    expect(alive()).toBe(true);
  });
});

test.each(lax)('%s: ours ends the connection', async (_what, connects, packets) => {
  using raw = await RawMqtt.open(device, house.port('mqtts'), 4);
  raw.send(connects('constructor'));
  for (const bytes of packets) raw.send(bytes);
  await raw.ended();
});

test('16 MB announced before CONNECT: a bare broker takes them in, ours never', async () => {
  const megabytes = Buffer.alloc(4 * 1024 * 1024);
  const announced = Buffer.from([0x10, 0x80, 0x80, 0x80, 0x08]);
  await withBareAedes(async ({ socket, alive }) => {
    socket.write(announced);
    await new Promise((resolve) => socket.write(megabytes, resolve));
    expect(alive()).toBe(true);
  });
  using raw = await RawMqtt.open(device, house.port('mqtts'));
  raw.send(announced);
  await raw.ended();
});

test('QoS 2 that is never released: a bare broker remembers without end, ours up to receiveMaximum', async () => {
  const flood = Array.from({ length: 3000 }, (_, n) =>
    packet(0x34, 'devices/constructor/telemetry', [(n + 1) >> 8, (n + 1) & 255], [49]),
  );
  await withBareAedes(async ({ socket, heard }) => {
    socket.write(connectBytes('someone', 4));
    await eventually(() => expect(heard().length).toBeGreaterThan(3));
    for (const bytes of flood) socket.write(bytes);
    // A PUBREC of four bytes for each.
    await eventually(() => expect(heard().length).toBe(4 + 3000 * 4));
  });
  using raw = await RawMqtt.connected(device, house.port('mqtts'), 5);
  for (const bytes of flood) raw.send(Buffer.concat([withProperties(bytes)]));
  expect(await raw.ended()).toBe(0x93);

  /** The same PUBLISH for MQTT 5: an empty property block before the payload. */
  function withProperties(bytes: Buffer): Buffer {
    return packet(bytes[0]!, [...bytes.subarray(2, -1)], [0], [...bytes.subarray(-1)]);
  }
});

test('of a SUBSCRIBE with denied filters nothing is heard after a reconnect either', async () => {
  const listener = await house.api.enroll('plant', 'listener');
  await house.api.call('PATCH', '/v1/devices/listener', { role: 'backend' });
  const kept = { clean: false, properties: { sessionExpiryInterval: 60 } };
  using first = await RawMqtt.connected(listener, house.port('mqtts'), 5, kept);
  first.send(packet(0x82, [0, 1, 0], 'devices/+/telemetry/#', [1], 'devices/+/commands/#', [1], '#', [1]));
  expect((await first.next('suback')).granted).toEqual([1, 0x87, 0x87]);
  first[Symbol.dispose]();
  await eventually(async () => {
    const { body } = await house.api.call('GET', '/v1/devices/listener');
    expect(body.sessions).toEqual([]);
  });

  // A reply to a command goes by the broker: only telemetry was granted, and only that may arrive.
  using speaker = await RawMqtt.connected(device, house.port('mqtts'));
  speaker.send(packet(0x32, 'devices/constructor/certificates/renew', [0, 1, 0], [49]));
  await speaker.next('puback');
  speaker.send(packet(0x32, 'devices/constructor/telemetry/x', [0, 2, 0], [50]));
  await speaker.next('puback');
  using second = await RawMqtt.open(listener, house.port('mqtts'));
  second.send(connectBytes('listener', 5, kept));
  expect((await second.next('connack')).sessionPresent).toBe(true);
  expect((await second.next('publish')).topic).toBe('devices/constructor/telemetry/x');
  expect(second.packets.filter(({ cmd }) => cmd === 'publish')).toEqual([]);
});

test('acknowledgements come in the order of the publishes, however many share a commit', async () => {
  using raw = await RawMqtt.connected(device, house.port('mqtts'), 4);
  for (let id = 1; id <= 200; id++)
    raw.send(packet(0x32, 'devices/constructor/telemetry', [id >> 8, id & 255], [49]));
  const ids = await eventually(() => {
    const acknowledged = raw.packets.filter(({ cmd }) => cmd === 'puback').map(({ messageId }) => messageId);
    expect(acknowledged).toHaveLength(200);
    return acknowledged;
  });
  expect(ids).toEqual(Array.from({ length: 200 }, (_, n) => n + 1));
});
