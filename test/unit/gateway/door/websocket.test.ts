/** A WebSocket as a wire: what it answers by itself, and what it does not when the other side is behind with reading. */
import { EventEmitter } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { WebSocketWire } from '../../../../gateway/door/websocket.ts';
import { clientFrame } from '../../../harness/web-socket.ts';

class FakeSocket extends EventEmitter {
  readonly written: Buffer[] = [];
  writableNeedDrain = false;
  writable = true;
  over = false;

  write(bytes: Buffer): boolean {
    this.written.push(bytes);
    return !this.writableNeedDrain;
  }

  destroySoon(): void {
    this.over = true;
  }
}

function wired() {
  const socket = new FakeSocket();
  const wire = new WebSocketWire(socket as unknown as TLSSocket);
  const heard: string[] = [];
  wire.readTo({
    heard: (bytes) => heard.push(bytes.toString()),
    misheard: (fault) => {
      heard.push(fault.kind);
      wire.destroySoon(fault.kind);
    },
  });
  return { socket, wire, heard };
}

test('a ping is answered, but not to one who does not read: pings by the thousand hold no memory', () => {
  const { socket } = wired();
  socket.emit('data', clientFrame(Buffer.from('a'), 0x89));
  expect(socket.written).toEqual([Buffer.from([0x8a, 1, 0x61])]);
  socket.writableNeedDrain = true;
  for (let count = 0; count < 1_000; count++) socket.emit('data', clientFrame(Buffer.from('b'), 0x89));
  expect(socket.written).toHaveLength(1);
});

test('a close is answered with its code, once, and nothing is heard or said after it', () => {
  const { socket, wire, heard } = wired();
  socket.emit('data', clientFrame(Buffer.from([0x0f, 0xa0]), 0x88));
  socket.emit('data', clientFrame(Buffer.from('late')));
  wire.destroySoon('unavailable');
  wire.write(Buffer.from('too late'));
  expect(heard).toEqual([]);
  expect(socket.written).toEqual([Buffer.from([0x88, 2, 0x0f, 0xa0])]);
  expect(socket.over).toBe(true);
});

test.each([
  ['shutting-down', 1001],
  ['malformed-packet', 1002],
  ['packet-too-large', 1009],
  ['certificate-revoked', 1008],
] as const)('an end for %s is said with %s and its word', (reason, code) => {
  const { socket, wire } = wired();
  wire.destroySoon(reason);
  expect(socket.written[0]!.readUInt16BE(2)).toBe(code);
  expect(socket.written[0]!.toString('utf8', 4)).toBe(reason);
});

test('what is wrong is told once, with the frames before it heard', () => {
  const { socket, heard } = wired();
  socket.emit('data', Buffer.concat([clientFrame(Buffer.from('good')), clientFrame(Buffer.from('x'), 0x81)]));
  socket.emit('data', clientFrame(Buffer.from('y'), 0x81));
  expect(heard).toEqual(['good', 'unsupported-media-type']);
});
