/**
 * The frames of a WebSocket as a server reads and writes them (RFC 6455, section 5), for MQTT alone: the payload of binary
 * frames is passed on as it comes in, whatever the frames are like, so that nothing of it is held here and the limits of
 * packets are all that bounds it [MQTT-6.0.0-2]. It knows nothing of sockets.
 */
import { isUtf8 } from 'node:buffer';
import { Fault } from '#common/fault.ts';

export interface FrameTaker {
  /** Part of a binary message, unmasked where it lay. Good until it returns. */
  data(bytes: Buffer): void;
  ping(payload: Buffer): void;
  /** The client says goodbye: nothing follows. `code` is what is to be sent back. */
  closed(code: number): void;
}

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const longestHeader = 14;
const longestControl = 125;

export class WebSocketFrames {
  readonly #taker: FrameTaker;
  readonly #header = Buffer.alloc(longestHeader);
  /** Bytes of the header that are there, and that there must be. */
  #headerLength = 0;
  #headerNeeds = 2;
  #opcode = 0;
  /** Bytes of the payload that are still to come. */
  #left = 0;
  #maskAt = 0;
  /** Of a control frame, which may come in pieces; short by definition. */
  #control: Buffer[] = [];
  /** Whether a message has begun whose last frame has not come. */
  #inMessage = false;
  #over = false;

  constructor(taker: FrameTaker) {
    this.#taker = taker;
  }

  /** Nothing more is read. */
  close(): void {
    this.#over = true;
  }

  /** Takes bytes in, and overwrites them. Faults `unsupported-media-type` for text, `protocol-error` for what is wrong. */
  read(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#over) {
      if (this.#headerLength < this.#headerNeeds) {
        at = this.#readHeader(chunk, at);
        continue;
      }
      const end = Math.min(chunk.length, at + this.#left);
      const part = chunk.subarray(at, end);
      this.#unmask(part);
      this.#left -= part.length;
      at = end;
      this.#take(part);
    }
  }

  #readHeader(chunk: Buffer, start: number): number {
    const taken = chunk.copy(
      this.#header,
      this.#headerLength,
      start,
      start + this.#headerNeeds - this.#headerLength,
    );
    this.#headerLength += taken;
    if (this.#headerLength === 2) this.#judgeHeader();
    if (this.#headerLength === this.#headerNeeds) this.#begin();
    return start + taken;
  }

  #judgeHeader(): void {
    const [first = 0, second = 0] = this.#header;
    const opcode = first & 15;
    const isLast = (first & 0x80) !== 0;
    const length = second & 0x7f;
    // No extension was agreed on (section 5.2).
    if (first & 0x70) throw wrong('reserved bits are set');
    if ((second & 0x80) === 0) throw wrong('it is not masked'); // section 5.1
    if (opcode === opcodes.text)
      throw new Fault('unsupported-media-type', 'MQTT goes in binary frames; this one is text.'); // [MQTT-6.0.0-1]
    if (opcode >= opcodes.close) {
      if (opcode > opcodes.pong) throw wrong('its opcode is not known');
      if (!isLast || length > longestControl) throw wrong('a control frame is whole and short'); // section 5.5
    } else {
      if (opcode > opcodes.binary) throw wrong('its opcode is not known');
      if ((opcode === opcodes.continuation) !== this.#inMessage)
        throw wrong(this.#inMessage ? 'a message begins within another' : 'it continues nothing'); // section 5.4
      this.#inMessage = !isLast;
    }
    this.#opcode = opcode;
    this.#headerNeeds = 6 + (length === 126 ? 2 : length === 127 ? 8 : 0);
  }

  /** The header is whole. */
  #begin(): void {
    const length = this.#header[1]! & 0x7f;
    if (length < 126) this.#left = length;
    else if (length === 126) {
      this.#left = this.#header.readUInt16BE(2);
      if (this.#left < 126) throw wrong('its length is written longer than need be'); // section 5.2
    } else {
      const high = this.#header.readUInt32BE(2);
      // Also those whose first bit is set, which section 5.2 forbids.
      if (high > 0x1f_ffff) throw wrong('its length is beyond all measure');
      this.#left = high * 2 ** 32 + this.#header.readUInt32BE(6);
      if (this.#left < 65_536) throw wrong('its length is written longer than need be');
    }
    this.#maskAt = 0;
    if (this.#left === 0) this.#take(empty);
  }

  #unmask(part: Buffer): void {
    const header = this.#header;
    const keyAt = this.#headerNeeds - 4;
    let maskAt = this.#maskAt;
    for (let at = 0; at < part.length; at++) {
      part[at] = part[at]! ^ header[keyAt + maskAt]!;
      maskAt = (maskAt + 1) & 3;
    }
    this.#maskAt = maskAt;
  }

  #take(part: Buffer): void {
    const isWhole = this.#left === 0;
    const opcode = this.#opcode;
    if (isWhole) {
      this.#headerLength = 0;
      this.#headerNeeds = 2;
    }
    if (opcode < opcodes.close) {
      if (part.length > 0) this.#taker.data(part);
      return;
    }
    // A copy: the rest may come with another chunk.
    this.#control.push(Buffer.from(part));
    if (!isWhole) return;
    const payload = this.#control.length === 1 ? this.#control[0]! : Buffer.concat(this.#control);
    this.#control = [];
    if (opcode === opcodes.ping) this.#taker.ping(payload);
    else if (opcode === opcodes.close) {
      const code = closeCodeIn(payload);
      this.#over = true;
      this.#taker.closed(code);
    }
  }
}

const empty = Buffer.alloc(0);
const wrong = (why: string) => new Fault('protocol-error', `A WebSocket frame is wrong: ${why}.`);
const normalClosure = 1000;

/** What a client's Close says (section 7.4). Faults `protocol-error`. */
function closeCodeIn(payload: Buffer): number {
  if (payload.length === 0) return normalClosure;
  const code = payload.length === 1 ? 0 : payload.readUInt16BE(0);
  // 1004 to 1006 and 1015 are never sent (section 7.4.1).
  const isSaid =
    (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
  if (!isSaid) throw wrong('it closes with a code that nobody may send');
  if (!isUtf8(payload.subarray(2))) throw wrong('it closes with a reason that is not UTF-8');
  return code;
}

/** A whole binary message; not masked, as a server does not. */
export function binaryFrame(payload: Buffer): Buffer {
  const { length } = payload;
  const headerLength = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(headerLength + length);
  frame[0] = 0x80 | opcodes.binary;
  if (headerLength === 2) frame[1] = length;
  else if (headerLength === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  payload.copy(frame, headerLength);
  return frame;
}

/** `payload` as a Ping had it: 125 bytes at most. */
export const pongFrame = (payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0x80 | opcodes.pong, payload.length]), payload]);

/** `reason` is short: 123 bytes at most. */
export function closeFrame(code: number, reason = ''): Buffer {
  const text = Buffer.from(reason);
  return Buffer.concat([Buffer.from([0x80 | opcodes.close, 2 + text.length, code >> 8, code & 0xff]), text]);
}
