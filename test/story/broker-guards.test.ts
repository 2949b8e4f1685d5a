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

/** What a bare broker lets through: it answers as if nothing were wrong. Ours ends the connection. */
const lax: [what: string, connects: Buffer, packets: Buffer[]][] = [
  ['packet identifier 0', connectBytes('a', 4), [packet(0x32, 'a', [0, 0])]],
  ['a NUL in a topic', connectBytes('a', 4), [packet(0x30, 'a\0b')]],
];

test.each(lax)('%s: a bare broker goes on', async (_what, connects, packets) => {
  await withBareAedes(async ({ socket, heard, alive }) => {
    socket.write(connects);
    await eventually(() => expect(heard().length).toBeGreaterThan(3));
    for (const bytes of packets) socket.write(bytes);
    socket.write(packet(0xc0));
    await eventually(() => expect(heard().includes(Buffer.from([0xd0, 0]))).toBe(true));
    expect(alive()).toBe(true);
  });
});

test.each(lax)('%s: ours ends the connection', async (_what, _connects, packets) => {
  using raw = await RawMqtt.connected(device, house.port('mqtts'), 4);
  for (const bytes of packets) raw.send(bytes);
  await raw.ended();
});

test('a PUBACK before anything is stored: a bare broker sends one, ours waits for the disk', async () => {
  // Ours: the acknowledgement and the commit are one promise; survives-kill.test.ts kills in between. Here: the order.
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
