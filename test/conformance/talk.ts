/** One raw connection of a case: what a client says, packet by packet, and what it hears. */
import assert from 'node:assert/strict';
import type { IConnectPacket, IPublishPacket, ISubscription, Packet } from 'mqtt-packet';
import { systemClock } from '#common/clock.ts';
import { connectBytes, type RawMqtt } from '../harness/raw-mqtt.ts';
import type { Version } from './statement.ts';

/** What is to come has come by then. */
export const patienceMs = 4_000;
/** What has not come by then is taken not to come. */
export const quietMs = 150;

// biome-ignore lint/suspicious/noExplicitAny: the cases know which fields their packet has
type Any = any;

export class Talk {
  readonly raw: RawMqtt;
  readonly version: Version;
  /** Every byte that came. */
  readonly #chunks: Buffer[] = [];
  connack: Any;
  #nextId = 1;

  constructor(raw: RawMqtt) {
    this.raw = raw;
    this.version = raw.version;
    raw.socket.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get packets(): Any[] {
    return this.raw.packets;
  }

  send(bytes: Uint8Array | number[]): void {
    this.raw.send(bytes);
  }

  say(packet: Any): void {
    this.raw.sendPacket(packet);
  }

  next(cmd: Packet['cmd'], timeoutMs = patienceMs): Promise<Any> {
    return this.raw.next(cmd, timeoutMs);
  }

  /** CONNECT, and the CONNACK that answers it. */
  async connect(clientId: string, options: Partial<IConnectPacket> = {}): Promise<Any> {
    this.send(connectBytes(clientId, this.version, options));
    this.connack = await this.next('connack');
    return this.connack;
  }

  /** The code of a CONNACK or acknowledgement, whatever its version calls it. */
  static codeOf(packet: Any): number {
    return packet.reasonCode ?? packet.returnCode ?? 0;
  }

  freshId(): number {
    return this.#nextId++;
  }

  /** Sends a PUBLISH and gives its packet id. */
  publish(
    topic: string,
    payload: string | Buffer,
    options: Partial<IPublishPacket> = {},
  ): number | undefined {
    const qos = options.qos ?? 0;
    const messageId = qos > 0 ? (options.messageId ?? this.freshId()) : undefined;
    this.say({ cmd: 'publish', topic, payload, qos, dup: false, retain: false, ...options, messageId });
    return messageId;
  }

  /** A PUBLISH with QoS 1, acknowledged. */
  async deliver(topic: string, payload: string, options: Partial<IPublishPacket> = {}): Promise<Any> {
    const messageId = this.publish(topic, payload, { ...options, qos: 1 });
    const puback = await this.next('puback');
    assert.equal(puback.messageId, messageId);
    return puback;
  }

  /** A PUBLISH with QoS 2, through all four packets. */
  async deliver2(topic: string, payload: string, options: Partial<IPublishPacket> = {}): Promise<void> {
    const messageId = this.publish(topic, payload, { ...options, qos: 2 });
    assert.equal((await this.next('pubrec')).messageId, messageId);
    this.say({ cmd: 'pubrel', messageId });
    assert.equal((await this.next('pubcomp')).messageId, messageId);
  }

  /** SUBSCRIBE, and its SUBACK. */
  async subscribe(
    filter: string | string[],
    options: Partial<ISubscription> & { id?: number; properties?: object } = {},
  ): Promise<Any> {
    const { id = this.freshId(), properties, ...rest } = options;
    const subscriptions = [filter]
      .flat()
      .map((topic) => ({ qos: 0 as const, nl: false, rap: false, rh: 0, ...rest, topic }));
    this.say({ cmd: 'subscribe', messageId: id, subscriptions, properties } as never);
    const suback = await this.next('suback');
    assert.equal(suback.messageId, id);
    return suback;
  }

  async unsubscribe(filter: string | string[], id = this.freshId()): Promise<Any> {
    this.say({ cmd: 'unsubscribe', messageId: id, unsubscriptions: [filter].flat() } as never);
    return this.next('unsuback');
  }

  /** A message on a topic; others are passed over and kept. */
  async message(payload?: string): Promise<Any> {
    if (payload === undefined) return this.next('publish');
    const until = systemClock.elapsed() + patienceMs;
    for (;;) {
      const found = this.packets.findIndex(
        (each) => each.cmd === 'publish' && String(each.payload) === payload,
      );
      if (found >= 0) return this.packets.splice(found, 1)[0];
      if (systemClock.elapsed() > until) throw new Error(`no message ${payload} came`);
      await systemClock.sleep(10);
    }
  }

  /** Nothing of the kind comes. */
  async quiet(cmd: Packet['cmd'] = 'publish'): Promise<void> {
    await systemClock.sleep(quietMs);
    const come = this.packets.filter((each) => each.cmd === cmd);
    assert.deepEqual(
      come.map((each) => String(each.payload ?? each.cmd)),
      [],
      `no ${cmd} was to come`,
    );
  }

  /** The connection is ended by the server: the code of its last word, null without one. */
  closes(timeoutMs = patienceMs): Promise<number | null> {
    return this.raw.ended(timeoutMs);
  }

  /** The connection is alive: a ping is answered. */
  async alive(): Promise<void> {
    this.say({ cmd: 'pingreq' });
    await this.next('pingresp');
  }

  /** As if the network had failed. */
  async drop(): Promise<void> {
    this.raw.socket.destroy();
    await this.closes();
  }

  /** DISCONNECT, and the end. */
  async leave(packet: object = {}): Promise<void> {
    this.say({ cmd: 'disconnect', ...packet });
    this.raw.socket.end();
    await this.closes();
  }
}
