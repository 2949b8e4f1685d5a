/** A house that falls, and sessions of devices that talk about news: for stories of what survives. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IConnectPacket, IPublishPacket } from 'mqtt-packet';
import { expect } from 'vitest';
import type { DeviceIdentity } from './api-client.ts';
import { eventually } from './eventually.ts';
import { House } from './house.ts';
import { connectBytes, RawMqtt } from './raw-mqtt.ts';

type Options = Partial<IConnectPacket>;

export class FallingHouse {
  #dir = '';
  #house!: House;
  readonly #devices = new Map<string, Promise<DeviceIdentity>>();
  #speakers = 0;

  get api() {
    return this.#house.api;
  }

  async open(): Promise<void> {
    this.#dir = await mkdtemp(join(tmpdir(), 'survive-'));
    this.#house = await House.start({ dir: this.#dir });
    await this.api.call('PUT', '/v1/roles/talker', {
      severalSessions: true,
      rules: [
        { allow: 'publish', pattern: 'news/#', retain: true },
        { allow: 'subscribe', pattern: 'news/#' },
        { allow: 'publish', pattern: 'devices/${device.id}/telemetry/#' },
      ],
    });
  }

  async close(): Promise<void> {
    await this.#house[Symbol.asyncDispose]();
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** By default as a power button would: nothing is flushed, nobody is told. */
  restart = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    await this.api.close();
    await this.#house.kill(signal);
    this.#house = await House.start({ dir: this.#dir });
  };

  /** The same story in both versions at once; the house falls when both have come to it. */
  async inBoth(tell: (version: 4 | 5, restart: () => Promise<void>) => Promise<void>): Promise<void> {
    let arrived = 0;
    let fall = Promise.withResolvers<void>();
    const together = (): Promise<void> => {
      const { promise, resolve, reject } = fall;
      arrived += 1;
      if (arrived === 2) {
        arrived = 0;
        fall = Promise.withResolvers<void>();
        this.restart().then(resolve, reject);
      }
      return promise;
    };
    await Promise.all([tell(4, together), tell(5, together)]);
  }

  /** A device of that id is enrolled when it first connects. */
  connect = async (id: string, version: 4 | 5, options: Options, session = id) => {
    const raw = await RawMqtt.open(await this.#device(id), this.#house.port('mqtts'), version);
    raw.send(connectBytes(session, version, options));
    const connack = await raw.next('connack');
    expect(connack.reasonCode ?? connack.returnCode).toBe(0);
    return { raw, present: connack.sessionPresent as boolean };
  };

  /** The id is free for another device. */
  forget(id: string): void {
    this.#devices.delete(id);
  }

  /** Somebody publishes, one after another; each is acknowledged before the next. */
  say = async (
    topic: string,
    payloads: string[],
    qos: 1 | 2 = 1,
    more: Partial<IPublishPacket> = {},
  ): Promise<void> => {
    this.#speakers += 1;
    const { raw } = await this.connect('speaker', 5, { clean: true }, `speaker/${this.#speakers}`);
    for (const [index, payload] of payloads.entries()) {
      const messageId = index + 1;
      raw.sendPacket({ cmd: 'publish', topic, payload, qos, messageId, dup: false, retain: false, ...more });
      if (qos === 1) await raw.next('puback');
      else {
        await raw.next('pubrec');
        raw.sendPacket({ cmd: 'pubrel', messageId });
        await raw.next('pubcomp');
      }
    }
    raw[Symbol.dispose]();
  };

  #device(id: string): Promise<DeviceIdentity> {
    const known = this.#devices.get(id) ?? this.#enroll(id);
    this.#devices.set(id, known);
    return known;
  }

  async #enroll(id: string): Promise<DeviceIdentity> {
    const identity = await this.api.enroll('plant', id);
    await this.api.call('PATCH', `/v1/devices/${id}`, { role: 'talker' });
    return identity;
  }
}

/** A session that is kept for ten minutes, in the words of either version. */
export const kept = (version: 4 | 5, more: Options = {}): Options => ({
  clean: false,
  ...(version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}),
  ...more,
});

export async function subscribe(raw: RawMqtt, topic: string, qos: 0 | 1 | 2): Promise<void> {
  raw.sendPacket({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic, qos }] });
  expect((await raw.next('suback')).granted).toEqual([qos]);
}

export const publishes = (raw: RawMqtt): IPublishPacket[] =>
  raw.packets.filter(({ cmd }) => cmd === 'publish') as IPublishPacket[];

/** Waits for so many. */
export async function heard(raw: RawMqtt, count: number): Promise<IPublishPacket[]> {
  await eventually(() => expect(publishes(raw).length).toBeGreaterThanOrEqual(count));
  return publishes(raw);
}

/** Payload, QoS, DUP and RETAIN. */
export const told = ({ payload, qos, dup, retain }: IPublishPacket) => [String(payload), qos, dup, retain];
