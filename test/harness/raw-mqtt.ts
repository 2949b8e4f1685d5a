/** MQTT by hand over mutual TLS: sends bytes that no client library would, and keeps every packet that comes back. */
import { once } from 'node:events';
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls';
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet';
import { eventually } from './eventually.ts';

/** What to connect with: a device, or nothing at all. */
export type Credentials = { id: string; key: string; certificate: string; ca: string } | { ca: string };

export class RawMqtt implements Disposable {
  readonly socket: TLSSocket;
  readonly packets: Packet[] = [];
  readonly version: 4 | 5;
  closed = false;

  private constructor(socket: TLSSocket, version: 4 | 5) {
    this.socket = socket;
    this.version = version;
    const incoming = parser({ protocolVersion: version });
    incoming.on('packet', (packet) => this.packets.push(packet));
    socket.on('data', (chunk: Buffer) => incoming.parse(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
    });
  }

  /** Resolves after the handshake; nothing of MQTT has been sent. */
  static async open(
    who: Credentials,
    port: number,
    version: 4 | 5 = 5,
    options: ConnectionOptions & { localAddress?: string } = {},
  ): Promise<RawMqtt> {
    const identity = 'key' in who ? { key: who.key, cert: who.certificate } : {};
    const socket = tls.connect({ host: '127.0.0.1', port, ca: who.ca, ...identity, ...options });
    const raw = new RawMqtt(socket, version);
    await once(socket, 'secureConnect');
    return raw;
  }

  /** The same, and a CONNECT that was accepted. */
  static async connected(
    who: Credentials & { id: string },
    port: number,
    version: 4 | 5 = 5,
    connect: Partial<IConnectPacket> = {},
    options: ConnectionOptions & { localAddress?: string } = {},
  ): Promise<RawMqtt> {
    const raw = await RawMqtt.open(who, port, version, options);
    raw.send(connectBytes(who.id, version, connect));
    const connack = await raw.next('connack');
    const code = version === 5 ? connack.reasonCode : connack.returnCode;
    if (code !== 0) throw new Error(`CONNACK ${code}`);
    return raw;
  }

  send(bytes: Uint8Array | number[]): void {
    this.socket.write(Buffer.from(bytes));
  }

  sendPacket(packet: Packet): void {
    this.send(generate(packet, { protocolVersion: this.version }));
  }

  /** The first packet of a kind, waited for; it is taken out of `packets`. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests know which fields their packet has
  async next(cmd: Packet['cmd'], timeoutMs?: number): Promise<any> {
    return eventually(
      () => {
        const index = this.packets.findIndex((packet) => packet.cmd === cmd);
        if (index < 0)
          throw new Error(`no ${cmd} came; ${this.closed ? 'the connection is closed' : 'it is open'}`);
        return this.packets.splice(index, 1)[0];
      },
      { timeoutMs },
    );
  }

  /** Waits for the end: the reason code of the last CONNACK or DISCONNECT, null when there was none. */
  async ended(timeoutMs?: number): Promise<number | null> {
    await eventually(
      () => {
        if (!this.closed) throw new Error('the connection is still open');
      },
      { timeoutMs },
    );
    const word = this.packets.findLast(({ cmd }) => cmd === 'connack' || cmd === 'disconnect') as
      | { reasonCode?: number; returnCode?: number }
      | undefined;
    return word ? (word.reasonCode ?? word.returnCode ?? 0) : null;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

export const connectBytes = (
  clientId: string,
  version: 4 | 5,
  options: Partial<IConnectPacket> = {},
): Buffer =>
  generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: version,
    clientId,
    clean: true,
    keepalive: 60,
    ...options,
  });

/** A packet with any body: first byte, remaining length, body. */
export function packet(head: number, ...body: (number | number[] | string)[]): Buffer {
  const bytes = Buffer.concat(
    body.map((part) => (typeof part === 'string' ? text(part) : Buffer.from([part].flat()))),
  );
  const length: number[] = [];
  for (let left = bytes.length; ; left >>= 7) {
    length.push(left > 127 ? (left & 127) | 128 : left);
    if (left <= 127) break;
  }
  return Buffer.concat([Buffer.from([head, ...length]), bytes]);
}

/** A length-prefixed text. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}
