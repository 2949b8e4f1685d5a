/** What one case sees of the server: topics and client ids of its own, and connections that end with it. */
import assert from 'node:assert/strict';
import type { IConnectPacket } from 'mqtt-packet';
import { type Credentials, RawMqtt } from '../harness/raw-mqtt.ts';
import type { Version } from './statement.ts';
import { Talk } from './talk.ts';

export type Who = 'a' | 'b' | 'c';

/** A server under test, with devices that it knows. */
export interface Peer extends AsyncDisposable {
  readonly name: 'Fleetgate' | 'mosquitto';
  readonly port: number;
  /** Where MQTT is spoken over WebSocket. */
  readonly websocket: string;
  /** Three devices, and one whose client id is just 23 letters and digits. */
  readonly devices: Readonly<Record<Who | 'letters', Credentials & { id: string }>>;
  /** A client id that device `a` may not use; null when any may use any. */
  readonly foreignId: string | null;
  /** A topic that nobody may publish to. */
  readonly forbidden: string;
}

export class Scene implements Disposable {
  readonly peer: Peer;
  readonly version: Version;
  readonly #name: string;
  readonly #talks: Talk[] = [];

  constructor(peer: Peer, version: Version, name: string) {
    this.peer = peer;
    this.version = version;
    this.#name = name;
  }

  /** A client id of a device that no other case uses. */
  id(who: Who = 'a'): string {
    return `${this.peer.devices[who].id}:${this.#name}`;
  }

  /** A topic that no other case uses. */
  topic(rest = 'x'): string {
    return `t/${this.#name}/${rest}`;
  }

  /** After the handshake; nothing of MQTT has been said. */
  async open(who: Who | 'letters' = 'a', version: Version = this.version): Promise<Talk> {
    const raw = await RawMqtt.open(this.peer.devices[who], this.peer.port, version);
    const talk = new Talk(raw);
    this.#talks.push(talk);
    return talk;
  }

  /** Connected, with the CONNACK in `connack`. */
  async connect(who: Who = 'a', options: Partial<IConnectPacket> = {}): Promise<Talk> {
    const talk = await this.open(who);
    await talk.connect(this.id(who), options);
    assert.equal(Talk.codeOf(talk.connack), 0, 'the CONNECT is accepted');
    return talk;
  }

  /** Connected with a session that is kept. */
  async keep(who: Who = 'a', options: Partial<IConnectPacket> = {}): Promise<Talk> {
    return this.connect(who, {
      clean: false,
      ...options,
      ...(this.version === 5 && { properties: { sessionExpiryInterval: 300, ...options.properties } }),
    });
  }

  /** Bytes sent after a CONNECT that must end the connection; the code of the last word. */
  async endsAfter(bytes: Uint8Array | number[]): Promise<number | null> {
    const talk = await this.connect();
    talk.send(bytes);
    return talk.closes();
  }

  /** A CONNECT that must not be accepted; the code of its CONNACK, null without one. */
  async turnedAway(bytes: Uint8Array): Promise<number | null> {
    const talk = await this.open();
    talk.send(bytes);
    const code = await talk.closes();
    assert.notEqual(code, 0, 'it is not accepted');
    return code;
  }

  [Symbol.dispose](): void {
    for (const { raw } of this.#talks) raw[Symbol.dispose]();
  }
}
