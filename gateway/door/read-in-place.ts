/**
 * Reads what a TLS socket receives in place: into one buffer for all sockets, instead of a new one for every read. It is
 * the mechanism behind `onread` of net.connect, which node:tls does not offer to servers, so it is reached by the names
 * it has inside; a runtime in which they are not found is read by 'data' events.
 */
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** TLS hands over a record at a time, of 16 KiB at most (RFC 8446, section 5.1). */
const shared = Buffer.allocUnsafeSlow(64 * 1024);

const inside = Object.getOwnPropertySymbols(new Socket());
const [bufferKey, callbackKey] = ['kBuffer', 'kBufferCb'].map((name) =>
  inside.find(({ description }) => description === name),
);

type Innards = Record<symbol, unknown> & { _handle?: { useUserBuffer?(buffer: Buffer): void } };

/** Calls `take` with every chunk; its bytes are good until `take` returns. To be called once, before any read. */
export function readInPlace(socket: TLSSocket, take: (chunk: Buffer) => void): void {
  const innards = socket as unknown as Innards;
  if (!bufferKey || !callbackKey || !innards._handle?.useUserBuffer) {
    socket.on('data', take);
    return;
  }
  innards._handle.useUserBuffer(shared);
  innards[bufferKey] = shared;
  innards[callbackKey] = (length: number) => {
    take(shared.subarray(0, length));
    // Going on is the socket's own decision: pause() has been called when it should not.
    return true;
  };
  socket.resume();
  socket.read(0);
}
