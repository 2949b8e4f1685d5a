/** What of a session ends while the gateway is down, and what of a device that is revoked: delays, lifetimes, goodbyes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { FallingHouse, heard, kept, subscribe, told } from '../harness/falling-house.ts';

/** Several starts of a whole house. */
const timeout = 90_000;

const house = new FallingHouse();
const { connect, say, restart } = house;
beforeAll(() => house.open());
afterAll(() => house.close());

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

  test('a clean stop publishes Wills like every end of a connection; a goodbye takes the Will along', async () => {
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
    house.forget('reborn');
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
