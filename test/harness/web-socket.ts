/** A WebSocket by hand: sends frames that no library would, and keeps what comes back. */
import { once } from 'node:events';
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls';
import { type Packet, parser } from 'mqtt-packet';
import { eventually } from './eventually.ts';
import type { Credentials } from './raw-mqtt.ts';

export interface Opening {
  path?: string;
  headers?: Record<string, string | null>;
  options?: ConnectionOptions;
}

/** Opening handshake of a client (RFC 6455, section 4.1); a header that is null is left out. */
export function openingOf({ path = '/mqtt', headers = {} }: Opening = {}): string {
  const all: Record<string, string | null> = {
    host: 'localhost',
    upgrade: 'websocket',
    connection: 'Upgrade',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-version': '13',
    'sec-websocket-protocol': 'mqtt',
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]));
  return [`GET ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n');
}

export class RawWebSocket implements Disposable {
  readonly socket: TLSSocket;
  readonly packets: Packet[] = [];
  /** Head of the answer, and its body when it is no upgrade. */
  answer = '';
  /** Code of the server's Close. */
  closeCode: number | null = null;
  closeReason = '';
  pongs: string[] = [];
  closed = false;
  #bytes = Buffer.alloc(0);
  readonly #packets = parser({ protocolVersion: 5 });

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    this.#packets.on('packet', (packet) => this.packets.push(packet));
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
    });
  }

  /** Resolves when there is an answer to the opening. */
  static async open(who: Credentials, port: number, opening: Opening = {}): Promise<RawWebSocket> {
    const raw = await RawWebSocket.shaken(who, port, opening.options);
    raw.socket.write(openingOf(opening));
    await eventually(() => {
      if (raw.status === 0) throw new Error('no answer yet');
    });
    return raw;
  }

  /** Resolves after the TLS handshake. */
  static async shaken(
    who: Credentials,
    port: number,
    options: ConnectionOptions = {},
  ): Promise<RawWebSocket> {
    const identity = 'key' in who ? { key: who.key, cert: who.certificate } : {};
    const socket = tls.connect({ host: '127.0.0.1', port, ca: who.ca, ...identity, ...options });
    const raw = new RawWebSocket(socket);
    await once(socket, 'secureConnect');
    return raw;
  }

  get status(): number {
    return Number(/^HTTP\/1\.1 (\d{3})[\s\S]*\r\n\r\n/.exec(this.answer)?.[1] ?? 0);
  }

  /** What was answered is forgotten, for the next request. */
  forget(): void {
    this.answer = '';
    this.#bytes = Buffer.alloc(0);
  }

  /** Sends a binary message, or whatever `first` makes of it. */
  send(payload: Uint8Array, first = 0x82): void {
    this.socket.write(clientFrame(payload, first));
  }

  // biome-ignore lint/suspicious/noExplicitAny: the tests know which fields their packet has
  async next(cmd: Packet['cmd']): Promise<any> {
    return eventually(() => {
      const index = this.packets.findIndex((packet) => packet.cmd === cmd);
      if (index < 0) throw new Error(`no ${cmd} came; closed: ${this.closed}, code ${this.closeCode}`);
      return this.packets.splice(index, 1)[0];
    });
  }

  async ended(): Promise<number | null> {
    await eventually(() => {
      if (!this.closed) throw new Error('the connection is still open');
    });
    return this.closeCode;
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (!this.answer.startsWith('HTTP/1.1 101') || !this.answer.includes('\r\n\r\n')) {
      const end = this.#bytes.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.answer = this.#bytes.toString('latin1');
      if (!this.answer.startsWith('HTTP/1.1 101')) return;
      this.answer = this.answer.slice(0, end + 4);
      this.#bytes = this.#bytes.subarray(end + 4);
    }
    while (this.#bytes.length >= 2) {
      const short = this.#bytes[1]!;
      const start = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (this.#bytes.length < start) return;
      const length =
        short < 126
          ? short
          : short === 126
            ? this.#bytes.readUInt16BE(2)
            : Number(this.#bytes.readBigUInt64BE(2));
      if (this.#bytes.length < start + length) return;
      const payload = this.#bytes.subarray(start, start + length);
      const opcode = this.#bytes[0]! & 15;
      this.#bytes = this.#bytes.subarray(start + length);
      if (opcode === 2) this.#packets.parse(payload);
      else if (opcode === 10) this.pongs.push(payload.toString());
      else if (opcode === 8) {
        this.closeCode = payload.readUInt16BE(0);
        this.closeReason = payload.subarray(2).toString();
      }
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** A frame of a client, masked. */
export function clientFrame(payload: Uint8Array, first = 0x82): Buffer {
  const { length } = payload;
  const mask = Buffer.from([0x5a, 0xa5, 0x0f, 0xf0]);
  const head = length < 126 ? Buffer.from([first, 0x80 | length]) : Buffer.alloc(length < 65_536 ? 4 : 10);
  if (length >= 126) {
    head[0] = first;
    head[1] = length < 65_536 ? 0xfe : 0xff;
    if (length < 65_536) head.writeUInt16BE(length, 2);
    else head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, mask, Buffer.from(payload).map((byte, index) => byte ^ mask[index & 3]!)]);
}
