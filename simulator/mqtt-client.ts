/**
 * A device's MQTT connection, lean enough for tens of thousands in a process: CONNECT, PUBLISH, acknowledgements, pings.
 * It is a client of its own so that what is measured is the gateway, not a client library.
 */
import tls, { type TLSSocket } from 'node:tls';

export interface MqttClientOptions {
  host: string;
  port: number;
  context: tls.SecureContext;
  clientId: string;
  version: 4 | 5;
  keepAliveSeconds: number;
  /** A TLS session to resume. */
  session?: Buffer;
  /** A TLS session that the server has given, to resume later. */
  onSession?(session: Buffer): void;
  onSecure(): void;
  /** CONNACK; 0 is success. */
  onConnack(code: number): void;
  /** A QoS 1 or 2 publish was acknowledged; its packet id. */
  onAcknowledged(packetId: number): void;
  /** A message to which it has subscribed; of QoS 1 it is acknowledged when this returns. */
  onMessage?(payload: Buffer): void;
  /** Once, with the DISCONNECT reason or the error, if there was one. */
  onClosed(why: string): void;
}

const varint = (length: number): number[] => {
  const bytes: number[] = [];
  for (let rest = length; ; ) {
    const digit = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest > 0 ? digit | 0x80 : digit);
    if (rest === 0) return bytes;
  }
};

const word = (value: number): number[] => [value >> 8, value & 0xff];
const pingreq = Buffer.from([0xc0, 0]);

export class SimulatedMqttClient {
  readonly #socket: TLSSocket;
  readonly #options: MqttClientOptions;
  #rest: Buffer | null = null;
  #why = 'the connection ended';
  #over = false;

  constructor(options: MqttClientOptions) {
    this.#options = options;
    const { host, port, context, session, onSession } = options;
    this.#socket = tls.connect({
      host,
      port,
      secureContext: context,
      servername: 'localhost',
      checkServerIdentity: () => undefined,
      ...(session && { session }),
    });
    if (onSession) this.#socket.on('session', onSession);
    this.#socket.setNoDelay(true);
    this.#socket.once('secureConnect', () => {
      options.onSecure();
      this.#socket.write(this.#connectPacket());
    });
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#why = error.code ?? error.message;
    });
    this.#socket.once('close', () => {
      this.#over = true;
      options.onClosed(this.#why);
    });
  }

  /** The packet id is 1 to 65535; ignored for QoS 0. */
  publish(topic: Buffer, payload: string, qos: 0 | 1 | 2, packetId: number): void {
    if (this.#over) return;
    const properties = this.#options.version === 5 ? 1 : 0;
    const length = 2 + topic.length + (qos > 0 ? 2 : 0) + properties + payload.length;
    const header = varint(length);
    const packet = Buffer.allocUnsafe(1 + header.length + length);
    let at = 0;
    packet[at++] = 0x30 | (qos << 1);
    for (const byte of header) packet[at++] = byte;
    at = packet.writeUInt16BE(topic.length, at);
    at += topic.copy(packet, at);
    if (qos > 0) at = packet.writeUInt16BE(packetId, at);
    if (properties) packet[at++] = 0;
    packet.write(payload, at, 'latin1');
    this.#socket.write(packet);
  }

  /** Subscribes at QoS 1; the answer is not waited for. */
  subscribe(filter: string, packetId: number): void {
    if (this.#over) return;
    const name = Buffer.from(filter);
    const properties = this.#options.version === 5 ? [0] : [];
    const body = [...word(packetId), ...properties, ...word(name.length), ...name, 1];
    this.#socket.write(Buffer.from([0x82, ...varint(body.length), ...body]));
  }

  ping(): void {
    if (!this.#over) this.#socket.write(pingreq);
  }

  end(): void {
    if (this.#over) return;
    this.#why = 'done';
    this.#socket.end(Buffer.from([0xe0, 0]));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #connectPacket(): Buffer {
    const { version, clientId, keepAliveSeconds } = this.#options;
    const id = Buffer.from(clientId);
    const body = [
      ...word(4),
      ...Buffer.from('MQTT'),
      version,
      2,
      ...word(keepAliveSeconds),
      ...(version === 5 ? [0] : []),
      ...word(id.length),
      ...id,
    ];
    return Buffer.from([0x10, ...varint(body.length), ...body]);
  }

  #read(chunk: Buffer): void {
    const data = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#rest = null;
    let at = 0;
    while (at + 2 <= data.length) {
      let length = 0;
      let next = at + 1;
      for (let shift = 0; next < data.length; shift += 7) {
        const byte = data[next++]!;
        length |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      if (next + length > data.length) break;
      const body = data.subarray(next, next + length);
      if (data[at]! >> 4 === 3) this.#hear(data[at]!, body);
      else this.#take(data[at]! >> 4, body);
      at = next + length;
    }
    if (at < data.length) this.#rest = data.subarray(at);
  }

  #hear(head: number, body: Buffer): void {
    const qos = (head >> 1) & 3;
    let at = 2 + body.readUInt16BE(0);
    const packetId = qos > 0 ? body.readUInt16BE(at) : 0;
    if (qos > 0) at += 2;
    if (this.#options.version === 5) {
      let length = 0;
      for (let shift = 0, byte = 0x80; byte >= 0x80; shift += 7) {
        byte = body[at++]!;
        length |= (byte & 0x7f) << shift;
      }
      at += length;
    }
    this.#options.onMessage?.(body.subarray(at));
    if (qos === 1 && !this.#over) this.#socket.write(Buffer.from([0x40, 2, ...word(packetId)]));
  }

  #take(type: number, body: Buffer): void {
    const packetId = body.length >= 2 ? body.readUInt16BE(0) : 0;
    const refused = body.length > 2 && body[2]! >= 0x80;
    if (type === 2) this.#options.onConnack(body[1] ?? 0);
    else if (type === 4 && !refused) this.#options.onAcknowledged(packetId);
    else if (type === 5) this.#socket.write(Buffer.from([0x62, 2, ...word(packetId)]));
    else if (type === 7) this.#options.onAcknowledged(packetId);
    else if (type === 14) this.#why = `DISCONNECT 0x${(body[0] ?? 0).toString(16)}`;
  }
}
