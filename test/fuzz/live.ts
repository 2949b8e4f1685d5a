/**
 * A whole house under noise: MQTT, HTTP and MQTT over WebSocket, from a device that is let in and from one that is not,
 * over real TLS. It stays up, has nothing to say in its log, serves its other devices, and does not grow.
 */
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import fc from 'fast-check';
import { expect } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { House } from '../harness/house.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';
import { bytesOf, connects, cuts, mutate, mutations, packets, pieces, versions } from './mqtt-packets.ts';
import type { FuzzTarget } from './target.ts';

const config = `
mqtt: { connectTimeout: 2s }
https: { headersTimeout: 1s, requestTimeout: 1s, keepAliveTimeout: 1s }
`;

/** A connection that has not ended by then is ended by us. */
const patienceMs = 300;
/** What a house may take more than before, after any number of connections. */
const maxGrowthKb = 150_000;

export class FuzzedHouse implements AsyncDisposable {
  readonly house: House;
  readonly guest: DeviceIdentity;
  readonly refused: DeviceIdentity;
  readonly #bystander: RawMqtt;
  #residentKb = 0;

  private constructor(house: House, guest: DeviceIdentity, refused: DeviceIdentity, bystander: RawMqtt) {
    this.house = house;
    this.guest = guest;
    this.refused = refused;
    this.#bystander = bystander;
  }

  static async open(): Promise<FuzzedHouse> {
    const house = await House.start({ config });
    const guest = await house.api.enroll('plant', 'guest');
    const refused = await house.api.enroll('plant', 'refused');
    await house.api.call('POST', '/v1/devices/refused/revoke', {});
    const honest = await house.api.enroll('plant', 'bystander');
    return new FuzzedHouse(house, guest, refused, await RawMqtt.connected(honest, house.port('mqtts')));
  }

  /** Sends pieces on a connection of its own, and waits for its end. */
  async send(who: DeviceIdentity, door: 'mqtts' | 'https', all: readonly Buffer[]): Promise<void> {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: this.house.port(door),
      ca: who.ca,
      key: who.key,
      cert: who.certificate,
    });
    socket.on('error', () => {});
    socket.resume();
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    for (const piece of all) socket.write(piece);
    socket.end();
    const patience = new AbortController();
    const late = systemClock.sleep(patienceMs, patience.signal).then(() => socket.destroy());
    await closed;
    patience.abort();
    await late;
  }

  /** What must hold after whatever was sent. */
  async isWell(): Promise<void> {
    const { child, log } = this.house;
    expect(child.exitCode ?? child.signalCode).toBeNull();
    expect(log.filter((line) => /"level":[56]0|could not be handled|failed inside/.test(line))).toEqual([]);
    this.#bystander.sendPacket({ cmd: 'pingreq' });
    await this.#bystander.next('pingresp');
    const kb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]);
    if (this.#residentKb === 0) this.#residentKb = kb;
    expect(kb - this.#residentKb).toBeLessThan(maxGrowthKb);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bystander[Symbol.dispose]();
    await this.house[Symbol.asyncDispose]();
  }
}

const requests = [
  'GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n',
  'POST /v1/telemetry HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"t":1.5}GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n',
  'POST /v1/events/door HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nopen\r\n0\r\n\r\n',
  'POST /v1/telemetry:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 22\r\n\r\n{"data":1}\n{"data":2}\n',
  'GET /v1/commands?wait=1s HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\n\r\n',
  'POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\nContent-Type: application/pkcs10\r\nContent-Length: 4\r\n\r\nMAA=',
  'POST /v1/renew HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"csr":"x"}',
];

const upgrade =
  'GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n';

/** A masked frame (RFC 6455, section 5.2) with the mask 0, which changes nothing. */
function frameOf(opcode: number, body: Buffer): Buffer {
  const length = body.length < 126 ? [0x80 | body.length] : [0x80 | 126, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length, 0, 0, 0, 0]), body]);
}

export const liveNames = ['live-mqtt', 'live-https', 'live-websocket'] as const;

/** The targets over a house that is open. */
export function liveTargets(fuzzed: FuzzedHouse): readonly FuzzTarget[] {
  const who = fc.constantFrom(fuzzed.guest, fuzzed.refused);
  const streams = versions.chain((version) =>
    fc
      .tuple(fc.oneof(fc.constant(null), connects(version)), fc.array(packets, { maxLength: 5 }))
      .map(([connect, sent]) => ({
        hello: connect === null ? connectBytes('guest', version) : bytesOf(connect, version),
        rest: Buffer.concat(sent.map((packet) => bytesOf(packet, version))),
      })),
  );
  const after = async (run: () => Promise<void>) => {
    await run();
    await fuzzed.isWell();
  };
  return [
    {
      name: 'live-mqtt',
      promise: 'broken MQTT ends its own connection, and nothing else',
      property: () =>
        fc.asyncProperty(
          who,
          streams,
          mutations,
          fc.boolean(),
          cuts,
          (device, { hello, rest }, how, early, sizes) =>
            after(() => {
              // Either all of it is broken, or only what comes after a good CONNECT.
              const bytes = early
                ? mutate(Buffer.concat([hello, rest]), how)
                : Buffer.concat([hello, mutate(rest, how)]);
              return fuzzed.send(device, 'mqtts', pieces(bytes, sizes));
            }),
        ) as unknown as fc.IAsyncProperty<unknown[]>,
    },
    {
      name: 'live-https',
      promise: 'broken HTTP ends its own connection, and nothing else',
      property: () =>
        fc.asyncProperty(who, fc.constantFrom(...requests), mutations, cuts, (device, text, how, sizes) =>
          after(() => fuzzed.send(device, 'https', pieces(mutate(Buffer.from(text), how), sizes))),
        ) as unknown as fc.IAsyncProperty<unknown[]>,
    },
    {
      name: 'live-websocket',
      promise:
        'broken WebSocket frames, and broken MQTT within good ones, end their own connection, and nothing else',
      property: () =>
        fc.asyncProperty(
          who,
          streams,
          mutations,
          mutations,
          fc.constantFrom(0, 1, 2, 8, 9, 10),
          cuts,
          (device, { hello, rest }, inner, outer, opcode, sizes) =>
            after(() => {
              const body = mutate(Buffer.concat([hello, rest]), inner).subarray(0, 60_000);
              const frames = Buffer.concat([frameOf(2, hello), frameOf(opcode, body)]);
              return fuzzed.send(device, 'https', [
                Buffer.from(upgrade),
                ...pieces(mutate(frames, outer), sizes),
              ]);
            }),
        ) as unknown as fc.IAsyncProperty<unknown[]>,
    },
  ];
}
