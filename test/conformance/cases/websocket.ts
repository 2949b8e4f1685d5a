/** Chapter 6: MQTT over WebSocket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, WebSocket } from 'undici';
import { eventually } from '../../harness/eventually.ts';
import { connectBytes } from '../../harness/raw-mqtt.ts';
import type { Scene } from '../scene.ts';
import { both, type Case } from '../statement.ts';
import { patienceMs } from '../talk.ts';

interface Web extends AsyncDisposable {
  readonly socket: WebSocket;
  /** What came, as it came. */
  readonly frames: (string | ArrayBuffer)[];
  readonly bytes: Buffer;
}

async function open(s: Scene): Promise<Web> {
  const { key, certificate: cert, ca } = s.peer.devices.a as { key: string; certificate: string; ca: string };
  const dispatcher = new Agent({ connect: { ca, key, cert }, allowH2: false });
  const socket = new WebSocket(s.peer.websocket, { protocols: ['mqtt'], dispatcher });
  socket.binaryType = 'arraybuffer';
  const frames: (string | ArrayBuffer)[] = [];
  socket.addEventListener('message', ({ data }) => frames.push(data));
  socket.addEventListener('error', () => {});
  const failed = once(socket, 'close').then(() => Promise.reject(new Error('no WebSocket was made')));
  failed.catch(() => {});
  await Promise.race([once(socket, 'open'), failed]);
  return {
    socket,
    frames,
    get bytes() {
      return Buffer.concat(frames.map((frame) => Buffer.from(frame as ArrayBuffer)));
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      await dispatcher.destroy();
    },
  };
}

const came = (web: Web, length: number): Promise<void> =>
  eventually(() => assert.ok(web.bytes.length >= length, `${web.bytes.length} bytes came`), {
    timeoutMs: patienceMs,
  });

export const websocket: Case[] = [
  ...both(
    '6.0.0-1',
    '6.0.0-1',
    'packets come in binary frames, and any other frame ends the connection',
    async (s) => {
      await using web = await open(s);
      web.socket.send(connectBytes(s.id(), s.version));
      await came(web, 4);
      assert.ok(web.frames.every((frame) => typeof frame !== 'string'));
      web.socket.send('text');
      await eventually(() => assert.equal(web.socket.readyState, WebSocket.CLOSED), {
        timeoutMs: patienceMs,
      });
    },
  ),
  ...both('6.0.0-2', '6.0.0-2', 'packets need not begin and end with frames', async (s) => {
    await using web = await open(s);
    const connect = connectBytes(s.id(), s.version);
    web.socket.send(connect.subarray(0, 5));
    web.socket.send(Buffer.concat([connect.subarray(5), Buffer.from([0xc0, 0, 0xc0, 0, 0xc0])]));
    await came(web, 8);
    web.socket.send(Buffer.from([0]));
    await eventually(
      () => assert.deepEqual(web.bytes.subarray(-6), Buffer.from([0xd0, 0, 0xd0, 0, 0xd0, 0])),
      { timeoutMs: patienceMs },
    );
  }),
  ...both('6.0.0-4', '6.0.0-4', 'the subprotocol of the answer is mqtt', async (s) => {
    await using web = await open(s);
    assert.equal(web.socket.protocol, 'mqtt');
  }),
];
