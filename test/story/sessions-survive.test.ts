/** kill -9 and a new start: sessions, subscriptions, queued and retained messages and Wills are what the specifications say. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IConnectPacket, IPublishPacket } from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';

/** Several starts of a whole house. */
const timeout = 90_000;

let dir: string;
let house: House;
const devices = new Map<string, Promise<DeviceIdentity>>();
let speakers = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'survive-'));
  house = await House.start({ dir });
  await house.api.call('PUT', '/v1/roles/talker', {
    severalSessions: true,
    rules: [
      { allow: 'publish', pattern: 'news/#', retain: true },
      { allow: 'subscribe', pattern: 'news/#' },
      { allow: 'publish', pattern: 'devices/${device.id}/telemetry/#' },
    ],
  });
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

function device(id: string): Promise<DeviceIdentity> {
  const known = devices.get(id) ?? enroll(id);
  devices.set(id, known);
  return known;
}

async function enroll(id: string): Promise<DeviceIdentity> {
  const identity = await house.api.enroll('plant', id);
  await house.api.call('PATCH', `/v1/devices/${id}`, { role: 'talker' });
  return identity;
}

/** As a power button would: nothing is flushed, nobody is told. */
async function restart(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  await house.api.close();
  await house.kill(signal);
  house = await House.start({ dir });
}

/** The same story in both versions at once; the house falls when both have come to it. */
async function inBoth(tell: (version: 4 | 5, restart: () => Promise<void>) => Promise<void>): Promise<void> {
  let arrived = 0;
  let fall = Promise.withResolvers<void>();
  const together = (): Promise<void> => {
    const { promise, resolve, reject } = fall;
    arrived += 1;
    if (arrived === 2) {
      arrived = 0;
      fall = Promise.withResolvers<void>();
      restart().then(resolve, reject);
    }
    return promise;
  };
  await Promise.all([tell(4, together), tell(5, together)]);
}

/** Kept for ten minutes, in the words of either version. */
const kept = (version: 4 | 5, more: Partial<IConnectPacket> = {}): Partial<IConnectPacket> => ({
  clean: false,
  ...(version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}),
  ...more,
});

async function connect(id: string, version: 4 | 5, options: Partial<IConnectPacket>, session = id) {
  const raw = await RawMqtt.open(await device(id), house.port('mqtts'), version);
  raw.send(connectBytes(session, version, options));
  const connack = await raw.next('connack');
  expect(connack.reasonCode ?? connack.returnCode).toBe(0);
  return { raw, present: connack.sessionPresent as boolean };
}

async function subscribe(raw: RawMqtt, topic: string, qos: 0 | 1 | 2, more = {}): Promise<void> {
  raw.sendPacket({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic, qos, ...more }] });
  expect((await raw.next('suback')).granted).toEqual([qos]);
}

/** Publishes one after another; each is acknowledged before the next. */
async function say(topic: string, payloads: string[], qos: 1 | 2 = 1, more: Partial<IPublishPacket> = {}) {
  speakers += 1;
  const { raw } = await connect('speaker', 5, { clean: true }, `speaker/${speakers}`);
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
}

const publishes = (raw: RawMqtt) => raw.packets.filter(({ cmd }) => cmd === 'publish') as IPublishPacket[];

async function heard(raw: RawMqtt, count: number): Promise<IPublishPacket[]> {
  await eventually(() => expect(publishes(raw).length).toBeGreaterThanOrEqual(count));
  return publishes(raw);
}
const told = ({ payload, qos, dup, retain }: IPublishPacket) => [String(payload), qos, dup, retain];

describe('MQTT 3.1.1 and 5', { timeout }, () => {
  test('what was queued is delivered after the kill: in order, at the lower QoS, without RETAIN or DUP', () =>
    inBoth(async (version, restart) => {
      const { raw, present } = await connect(`away-${version}`, version, kept(version));
      expect(present).toBe(false);
      await subscribe(raw, `news/away/one/${version}`, 1);
      await subscribe(raw, `news/away/two/${version}`, 2);
      raw.sendPacket({ cmd: 'disconnect' });
      await raw.ended();
      await say(`news/away/one/${version}`, ['a', 'b'], 2);
      await say(`news/away/two/${version}`, ['c'], 2);
      await say(`news/away/two/${version}`, ['d'], 1, { retain: true });
      await restart();
      const back = await connect(`away-${version}`, version, kept(version));
      expect(back.present).toBe(true);
      expect((await heard(back.raw, 4)).map(told)).toEqual([
        ['a', 1, false, false],
        ['b', 1, false, false],
        ['c', 2, false, false],
        ['d', 1, false, false],
      ]);
      back.raw[Symbol.dispose]();
      await say(`news/away/two/${version}`, [''], 1, { retain: true });
    }));

  test('what was sent and not acknowledged comes again with DUP under its packet id; what was acknowledged does not', () =>
    inBoth(async (version, restart) => {
      const { raw } = await connect(`again-${version}`, version, kept(version));
      await subscribe(raw, `news/again/${version}`, 1);
      await say(`news/again/${version}`, ['one', 'two', 'three']);
      const first = await heard(raw, 3);
      raw.sendPacket({ cmd: 'puback', messageId: first[1]!.messageId! });
      // Heard in order: when the answer is there, the acknowledgement has been taken.
      raw.sendPacket({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: [`news/other/${version}`] });
      await raw.next('unsuback');
      await restart();
      const back = await connect(`again-${version}`, version, kept(version));
      const second = await heard(back.raw, 2);
      expect(second.map(told)).toEqual([
        ['one', 1, true, false],
        ['three', 1, true, false],
      ]);
      expect(second.map(({ messageId }) => messageId)).toEqual([first[0]!.messageId, first[2]!.messageId]);
      // Live again, and after what was queued.
      await say(`news/again/${version}`, ['four']);
      expect((await heard(back.raw, 3)).map(told)[2]).toEqual(['four', 1, false, false]);
      for (const { messageId } of publishes(back.raw))
        back.raw.sendPacket({ cmd: 'puback', messageId: messageId! });
      back.raw.sendPacket({ cmd: 'disconnect' });
      await back.raw.ended();
      const last = await connect(`again-${version}`, version, kept(version));
      await subscribe(last.raw, `news/last/${version}`, 1);
      expect(publishes(last.raw)).toEqual([]);
      last.raw[Symbol.dispose]();
    }));

  test('QoS 2 makes exactly one of it: after PUBREC only PUBREL comes again', () =>
    inBoth(async (version, restart) => {
      const { raw } = await connect(`once-${version}`, version, kept(version));
      await subscribe(raw, `news/once/${version}`, 2);
      await say(`news/once/${version}`, ['received', 'not received'], 2);
      const [received, other] = await heard(raw, 2);
      raw.sendPacket({ cmd: 'pubrec', messageId: received!.messageId! });
      expect((await raw.next('pubrel')).messageId).toBe(received!.messageId);
      await restart();
      const back = await connect(`once-${version}`, version, kept(version));
      expect((await back.raw.next('pubrel')).messageId).toBe(received!.messageId);
      const [again] = await heard(back.raw, 1);
      expect(told(again!)).toEqual(['not received', 2, true, false]);
      expect(again!.messageId).toBe(other!.messageId);
      back.raw.sendPacket({ cmd: 'pubcomp', messageId: received!.messageId! });
      back.raw.sendPacket({ cmd: 'pubrec', messageId: again!.messageId! });
      await back.raw.next('pubrel');
      back.raw.sendPacket({ cmd: 'pubcomp', messageId: again!.messageId! });
      await subscribe(back.raw, `news/last/${version}`, 1);
      await restart();
      const last = await connect(`once-${version}`, version, kept(version));
      await subscribe(last.raw, `news/last/${version}`, 1);
      expect(last.raw.packets).toEqual([]);
      last.raw[Symbol.dispose]();
    }));

  test('Session Present is true without subscriptions too, and false after a clean start', () =>
    inBoth(async (version, restart) => {
      const { raw } = await connect(`bare-${version}`, version, kept(version));
      await restart();
      expect(raw.closed || (await raw.ended()) === null).toBe(true);
      const back = await connect(`bare-${version}`, version, kept(version));
      expect(back.present).toBe(true);
      await subscribe(back.raw, `news/bare/${version}`, 1);
      back.raw[Symbol.dispose]();
      await eventually(() => expect(back.raw.closed).toBe(true));
      await say(`news/bare/${version}`, ['missed']);
      const fresh = await connect(`bare-${version}`, version, kept(version, { clean: true }));
      expect(fresh.present).toBe(false);
      await say(`news/bare/${version}`, ['nor this']);
      fresh.raw[Symbol.dispose]();
      await restart();
      const last = await connect(`bare-${version}`, version, kept(version));
      // In 3.1.1 a clean session ends with its connection.
      expect(last.present).toBe(version === 5);
      await subscribe(last.raw, `news/last/${version}`, 1);
      expect(publishes(last.raw)).toEqual([]);
      last.raw[Symbol.dispose]();
    }));

  test('retained messages are there, and one that was taken back is not', () =>
    inBoth(async (version, restart) => {
      await say(`news/kept/${version}/a`, ['stays'], 1, { retain: true });
      await say(`news/kept/${version}/b`, ['goes'], 1, { retain: true });
      await say(`news/kept/${version}/b`, [''], 1, { retain: true });
      await restart();
      const { raw } = await connect(`reader-${version}`, version, { clean: true });
      await subscribe(raw, `news/kept/${version}/#`, 1);
      expect((await heard(raw, 1)).map(told)).toEqual([['stays', 1, false, true]]);
      raw[Symbol.dispose]();
    }));

  test('a Will that the fall of the gateway made due leaves after the start', () =>
    inBoth(async (version, restart) => {
      const listener = await connect(`listener-${version}`, version, kept(version));
      await subscribe(listener.raw, `news/will/${version}`, 1);
      listener.raw.sendPacket({ cmd: 'disconnect' });
      await listener.raw.ended();
      const will = {
        topic: `news/will/${version}`,
        payload: Buffer.from('dead'),
        qos: 1 as const,
        retain: true,
      };
      const doomed = await connect(`doomed-${version}`, version, { clean: true, will });
      await restart();
      const back = await connect(`listener-${version}`, version, kept(version));
      expect((await heard(back.raw, 1)).map(told)).toEqual([['dead', 1, false, false]]);
      doomed.raw[Symbol.dispose]();
      // Published once: a second start has nothing to say.
      back.raw.sendPacket({ cmd: 'puback', messageId: publishes(back.raw)[0]!.messageId! });
      await subscribe(back.raw, `news/last/${version}`, 1);
      await restart();
      const again = await connect(`listener-${version}`, version, kept(version));
      await subscribe(again.raw, `news/last/${version}`, 1);
      expect(publishes(again.raw)).toEqual([]);
      again.raw[Symbol.dispose]();
    }));
});

describe('MQTT 5', { timeout }, () => {
  test('a Will with a delay survives; whoever comes back before it takes it along', async () => {
    const listener = await connect('delays', 5, kept(5));
    await subscribe(listener.raw, 'news/delay/#', 1);
    const doomed = async (id: string, willDelayInterval: number) => {
      const will = {
        topic: `news/delay/${id}`,
        payload: Buffer.from(id),
        qos: 1 as const,
        retain: false,
        properties: { willDelayInterval },
      };
      const { raw } = await connect(id, 5, kept(5, { will }));
      return raw;
    };
    await doomed('returns', 60);
    await doomed('stays-away', 2);
    await restart();
    const { present } = await connect('returns', 5, kept(5));
    expect(present).toBe(true);
    const back = await connect('delays', 5, kept(5));
    const [will] = await heard(back.raw, 1);
    expect(String(will!.payload)).toBe('stays-away');
    // The end of the session would make the other due [MQTT-3.1.3-9]: it is gone.
    await connect('returns', 5, { clean: true });
    await say('news/delay/end', ['end']);
    expect((await heard(back.raw, 2)).map(({ payload }) => String(payload))).toEqual(['stays-away', 'end']);
    back.raw[Symbol.dispose]();
  });

  test('a clean stop publishes Wills as any end of a connection does; a goodbye takes the Will along', async () => {
    const listener = await connect('stops', 5, kept(5));
    await subscribe(listener.raw, 'news/stop/#', 1);
    listener.raw.sendPacket({ cmd: 'disconnect' });
    await listener.raw.ended();
    const will = (id: string) => ({
      topic: `news/stop/${id}`,
      payload: Buffer.from(id),
      qos: 1 as const,
      retain: false,
    });
    await connect('cut-off', 5, { clean: true, will: will('cut-off') });
    const polite = await connect('polite', 5, { clean: true, will: will('polite') });
    polite.raw.sendPacket({ cmd: 'disconnect' });
    await polite.raw.ended();
    await restart('SIGTERM');
    const back = await connect('stops', 5, kept(5));
    expect((await heard(back.raw, 1)).map(({ payload }) => String(payload))).toEqual(['cut-off']);
    back.raw[Symbol.dispose]();
  });

  test('properties come along, with what is left of the lifetime; what has expired does not', async () => {
    const { raw } = await connect('lifetimes', 5, kept(5));
    raw.sendPacket({
      cmd: 'subscribe',
      messageId: 1,
      properties: { subscriptionIdentifier: 42 },
      subscriptions: [{ topic: 'news/life', qos: 1 }],
    });
    await raw.next('suback');
    raw[Symbol.dispose]();
    await eventually(() => expect(raw.closed).toBe(true));
    const properties = {
      messageExpiryInterval: 300,
      contentType: 'text/plain',
      correlationData: Buffer.from([0, 255]),
      userProperties: { a: ['1', '2'] },
    };
    await say('news/life', ['short'], 1, { properties: { messageExpiryInterval: 1 } });
    await say('news/life', ['long'], 1, { properties });
    await restart();
    const back = await connect('lifetimes', 5, kept(5));
    const [long] = await heard(back.raw, 1);
    expect(String(long!.payload)).toBe('long');
    const { messageExpiryInterval, ...rest } = long!.properties!;
    expect(messageExpiryInterval).toBeLessThan(300);
    expect(messageExpiryInterval).toBeGreaterThan(200);
    expect(rest).toMatchObject({
      contentType: 'text/plain',
      correlationData: Buffer.from([0, 255]),
      userProperties: { a: ['1', '2'] },
      subscriptionIdentifier: 42,
    });
    back.raw[Symbol.dispose]();
  });

  test('a session that has expired while the gateway was down is gone', async () => {
    const short = { clean: false, properties: { sessionExpiryInterval: 1 } };
    const { raw } = await connect('brief', 5, short);
    await subscribe(raw, 'news/brief', 1);
    await restart();
    await eventually(async () => {
      const again = await connect('brief', 5, { ...short, properties: { sessionExpiryInterval: 1 } });
      again.raw.sendPacket({ cmd: 'disconnect', properties: { sessionExpiryInterval: 0 } });
      await again.raw.ended();
      expect(again.present).toBe(false);
    });
  });

  test('a session that goes on and is to end with its connection gets what was queued, and ends with it', async () => {
    const { raw } = await connect('final', 5, kept(5));
    await subscribe(raw, 'news/final', 1);
    raw[Symbol.dispose]();
    await eventually(() => expect(raw.closed).toBe(true));
    await say('news/final', ['still']);
    await restart();
    const back = await connect('final', 5, { clean: false });
    expect(back.present).toBe(true);
    expect((await heard(back.raw, 1)).map(told)).toEqual([['still', 1, false, false]]);
    back.raw[Symbol.dispose]();
    await eventually(async () => {
      const last = await connect('final', 5, { clean: false });
      last.raw[Symbol.dispose]();
      expect(last.present).toBe(false);
    });
  });
});

describe('what is revoked leaves nothing', { timeout }, () => {
  test('a device that is deleted and enrolled anew starts afresh, and its retained messages are gone', async () => {
    const { raw } = await connect('reborn', 5, kept(5));
    await subscribe(raw, 'news/reborn', 1);
    raw.sendPacket({
      cmd: 'publish',
      topic: 'news/left-by-reborn',
      payload: 'old',
      qos: 1,
      messageId: 3,
      retain: true,
      dup: false,
    });
    await raw.next('puback');
    await say('news/reborn', ['for the old one']);
    await house.api.call('DELETE', '/v1/devices/reborn');
    await raw.ended();
    devices.delete('reborn');
    await restart();
    const back = await connect('reborn', 5, kept(5));
    expect(back.present).toBe(false);
    await subscribe(back.raw, 'news/left-by-reborn', 1);
    await say('news/left-by-reborn', ['new']);
    expect((await heard(back.raw, 1)).map(({ payload }) => String(payload))).toEqual(['new']);
    back.raw[Symbol.dispose]();
  });

  test('a revoked device leaves no delayed Will, before or after a restart', async () => {
    const listener = await connect('witness', 5, kept(5));
    await subscribe(listener.raw, 'news/revoked/#', 1);
    const will = {
      topic: 'news/revoked/will',
      payload: Buffer.from('x'),
      qos: 1 as const,
      retain: false,
      properties: { willDelayInterval: 1 },
    };
    const doomed = await connect('culprit', 5, kept(5, { will }));
    doomed.raw.socket.destroy();
    await house.api.call('POST', '/v1/devices/culprit/revoke');
    await restart();
    const again = await connect('witness', 5, kept(5));
    await restart();
    await say('news/revoked/end', ['end']);
    const back = await connect('witness', 5, kept(5));
    expect((await heard(back.raw, 1)).map(({ payload }) => String(payload))).toEqual(['end']);
    again.raw[Symbol.dispose]();
    back.raw[Symbol.dispose]();
  });
});
