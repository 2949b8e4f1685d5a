/**
 * What a connection has sent and nobody has taken: bytes become frames, each bounded before it is buffered, and whoever
 * takes them may hold the rest back. It knows nothing of sockets.
 */
import { Fault } from '#common/fault.ts';
import { type Frame, incomplete, malformedLength, scanFrame, tooLarge } from './frame.ts';
import { malformed, protocolError } from './packet-reader.ts';

export interface FrameTaker {
  /** Longest frame as of now, in bytes. */
  readonly frameLimit: number;
  /** Nothing but CONNECT may come next. */
  readonly awaitsConnect: boolean;
  /** A frame: its first byte, where it begins in `data`, and its body. False when it is to come again after `release`. */
  takeFrame(head: number, data: Buffer, frameStart: number, start: number, end: number): boolean;
}

/** Filled and read within one call. */
const frame: Frame = { head: 0, start: 0, end: 0 };

export class Inbox {
  readonly #taker: FrameTaker;
  #rest: Buffer | null = null;
  /** `#rest` with room behind it, while a frame that comes in many pieces is gathered. */
  #room: Buffer | null = null;
  #held = false;
  #closed = false;

  constructor(taker: FrameTaker) {
    this.#taker = taker;
  }

  /** Bytes that wait here. */
  get waiting(): number {
    return this.#rest?.length ?? 0;
  }

  get held(): boolean {
    return this.#held;
  }

  /** No frame is given until `release`. */
  hold(): void {
    this.#held = true;
  }

  /** Gives what was held back. Faults as `read`. */
  release(): void {
    this.#held = false;
    const rest = this.#rest;
    this.#rest = null;
    if (rest) this.#consume(rest, true);
  }

  /** What is left is dropped, and nothing more is given. */
  close(): void {
    this.#closed = true;
    this.#rest = null;
    this.#room = null;
  }

  /** Takes bytes in, good until it returns. Faults `packet-too-large`, `malformed-packet`, `protocol-error`, or the taker's. */
  read(chunk: Buffer): void {
    if (this.#rest === null) return this.#consume(chunk, false);
    const data = this.#gather(this.#rest, chunk);
    this.#rest = null;
    this.#consume(data, true);
  }

  /** Room doubles: to gather a frame that comes byte by byte costs no more than to copy it twice. */
  #gather(rest: Buffer, chunk: Buffer): Buffer {
    const size = rest.length + chunk.length;
    let room = this.#room;
    if (room === null || room.length < size) {
      room = Buffer.allocUnsafe(Math.max(size, 2 * rest.length));
      rest.copy(room);
      this.#room = room;
    }
    chunk.copy(room, rest.length);
    return room.subarray(0, size);
  }

  /** `isOurs`: the bytes stay good. */
  #consume(data: Buffer, isOurs: boolean): void {
    const taker = this.#taker;
    let at = 0;
    while (at < data.length && !this.#held && !this.#closed) {
      if (data[at] !== 0x10 && taker.awaitsConnect) throw protocolError('the first packet is not CONNECT');
      const limit = taker.frameLimit;
      const scan = scanFrame(data, at, limit, frame);
      if (scan === incomplete) break;
      if (scan === tooLarge) throw new Fault('packet-too-large', `A packet has at most ${limit} bytes here.`);
      if (scan === malformedLength) throw malformed('its length has more than four bytes');
      const { head, start, end } = frame;
      if (!taker.takeFrame(head, data, at, start, end)) break;
      at = end;
    }
    if (isOurs && at === 0 && !this.#closed) {
      this.#rest = data;
      return;
    }
    this.#room = null;
    // A copy: the socket's bytes are good until we return.
    if (at < data.length && !this.#closed) this.#rest = Buffer.from(data.subarray(at));
  }
}
