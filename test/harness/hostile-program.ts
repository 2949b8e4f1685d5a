/**
 * A hostile crowd in a process of its own: `node hostile-program.ts` reads its order as JSON from argv, attacks until its
 * stdin ends, and says `attacking` once the attack is under way. Its connections come from 127.66.0.0/16, so that a
 * gateway can tell them from honest ones on 127.0.0.1.
 */
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls';
import { systemClock } from '#common/clock.ts';
import type { Attack, Order } from './hostile-crowd.ts';
import { connectBytes, packet } from './raw-mqtt.ts';

const order = JSON.parse(process.argv[2]!) as Order;
const { mqtts, https, ca, count, device, stranger } = order;
const dripMs = 1000;
let opened = 0;

/** Four addresses of one network: each gets a share, and together they get that of a network. */
const from = () => `127.66.0.${1 + (opened++ % 4)}`;

function tcp(port: number): Socket {
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress: from() });
  socket.on('error', () => {});
  socket.resume();
  return socket;
}

function secure(port: number, who: { key: string; certificate: string } | null): TLSSocket {
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    localAddress: from(),
    ca,
    key: who?.key,
    cert: who?.certificate,
  } as ConnectionOptions);
  socket.on('error', () => {});
  return socket;
}

/** Whenever one ends, another begins; `most` at a time. */
function keepOpening(most: number, open: () => Socket): void {
  const again = () => {
    open().once('close', () => systemClock.after(20, again));
  };
  for (let n = 0; n < most; n++) systemClock.after(n % 500, again);
}

/** A byte a second, over and over. */
function drip(socket: Socket, bytes: Buffer): Socket {
  let at = 0;
  const stop = systemClock.every(dripMs, () => {
    socket.write(bytes.subarray(at % bytes.length, (at % bytes.length) + 1));
    at += 1;
  });
  socket.once('close', stop);
  return socket;
}

/** The first flight of a TLS client, as it would send it to anybody. */
async function clientHello(): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = tls.connect({ port: (server.address() as { port: number }).port, host: '127.0.0.1' });
  client.on('error', () => {});
  const hello = await new Promise<Buffer>((resolve) =>
    server.once('connection', (socket: Socket) => {
      socket.on('error', () => {});
      socket.once('data', resolve);
    }),
  );
  client.destroy();
  server.close();
  return hello;
}

const hello = await clientHello();
const halfPublish = packet(0x32, `devices/${device.id}/telemetry`, [0, 1, 0], [...Buffer.alloc(60_000, 65)]);
const subscribe = packet(0x82, [0, 1, 0], 'devices/+/telemetry/#', [0]);
let session = 0;

function session5(then: (socket: TLSSocket) => void): TLSSocket {
  const socket = secure(mqtts, device);
  socket.once('secureConnect', () => {
    session += 1;
    socket.write(connectBytes(`${device.id}/${session}`, 5));
    then(socket);
  });
  return socket;
}

const resumed = (socket: TLSSocket) => {
  socket.resume();
  return socket;
};

const attacks: Readonly<Record<Attack, () => void>> = {
  'silent sockets': () => keepOpening(count, () => tcp(mqtts)),
  'a ClientHello byte by byte': () => keepOpening(count, () => drip(tcp(mqtts), hello)),
  'half-open handshakes': () =>
    keepOpening(count, () => {
      const socket = tcp(mqtts);
      socket.write(hello);
      return socket;
    }),
  'a CONNECT byte by byte': () =>
    keepOpening(count, () =>
      resumed(drip(secure(mqtts, device), connectBytes(`${device.id}/drip`, 5)) as TLSSocket),
    ),
  'a PUBLISH half sent': () =>
    keepOpening(count, () =>
      resumed(
        session5((socket) => {
          socket.write(halfPublish.subarray(0, 40_000));
          drip(socket, Buffer.alloc(1, 65));
        }),
      ),
    ),
  'HTTP headers byte by byte': () =>
    keepOpening(count, () =>
      resumed(
        drip(
          secure(https, device),
          Buffer.from(`GET /v1/me HTTP/1.1\r\nHost: ${'x'.repeat(4000)}`),
        ) as TLSSocket,
      ),
    ),
  'frozen readers': () =>
    keepOpening(count, () => {
      const socket = session5(() => socket.write(subscribe));
      socket.pause();
      return socket;
    }),
  'certificates that are refused': () =>
    keepOpening(count, () => {
      const socket = secure(mqtts, stranger);
      socket.once('secureConnect', () => socket.write(connectBytes('stranger', 5)));
      return resumed(socket);
    }),
  'noise instead of TLS': () =>
    keepOpening(count, () => {
      const socket = tcp(mqtts);
      socket.write(Buffer.alloc(300, 'GET / HTTP/1.1\r\n'));
      return socket;
    }),
};

attacks[order.attack]();
process.stdout.write('attacking\n');
process.stdin.resume();
process.stdin.once('end', () => process.exit(0));
