/**
 * Reads the fields of one MQTT packet (MQTT 5, section 1.5), strictly: nothing is read past the packet's end, every
 * text is well-formed UTF-8 without NUL [MQTT-1.5.4-1] [MQTT-1.5.4-2], and what is left over is an error.
 */
import { isUtf8 } from 'node:buffer';
import { Fault } from '#common/fault.ts';

export const malformed = (why: string): Fault =>
  new Fault('malformed-packet', `The packet is malformed: ${why}.`);
export const protocolError = (why: string): Fault =>
  new Fault('protocol-error', `The client broke the protocol: ${why}.`);

export class PacketReader {
  readonly data: Buffer;
  at: number;
  readonly end: number;

  constructor(data: Buffer, start: number, end: number) {
    this.data = data;
    this.at = start;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  byte(): number {
    this.#need(1);
    return this.data[this.at++]!;
  }

  uint16(): number {
    this.#need(2);
    const value = this.data.readUInt16BE(this.at);
    this.at += 2;
    return value;
  }

  uint32(): number {
    this.#need(4);
    const value = this.data.readUInt32BE(this.at);
    this.at += 4;
    return value;
  }

  /** A variable byte integer of at most four bytes, in its shortest form [MQTT-1.5.5-1]. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) throw malformed('a length is not in its shortest form');
        return value;
      }
    }
    throw malformed('a length has more than four bytes');
  }

  /** A view, not a copy. */
  binary(): Buffer {
    const length = this.uint16();
    this.#need(length);
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  text(): string {
    return textOf(this.binary());
  }

  /** The packet must end here. */
  done(): void {
    if (this.left !== 0) throw malformed('bytes follow its last field');
  }

  #need(bytes: number): void {
    if (this.at + bytes > this.end) throw malformed('it ends too early');
  }
}

/** Faults `malformed-packet` for anything that is not well-formed UTF-8 without NUL. */
export function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw malformed('a text is not UTF-8');
  if (bytes.includes(0)) throw malformed('a text holds a NUL');
  return bytes.toString('utf8');
}
