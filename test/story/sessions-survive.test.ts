/** kill -9 and a new start, in both versions: sessions, queued and retained messages and Wills are what the specifications say. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { FallingHouse, heard, kept, publishes, subscribe, told } from '../harness/falling-house.ts';

/** Several starts of a whole house. */
const timeout = 90_000;

const house = new FallingHouse();
const { connect, say } = house;
beforeAll(() => house.open());
afterAll(() => house.close());

describe('MQTT 3.1.1 and 5', { timeout }, () => {
  test('what was queued is delivered after the kill: in order, at the lower QoS, without RETAIN or DUP', () =>
    house.inBoth(async (version, restart) => {
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
    house.inBoth(async (version, restart) => {
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
    house.inBoth(async (version, restart) => {
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
    house.inBoth(async (version, restart) => {
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
    house.inBoth(async (version, restart) => {
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
    house.inBoth(async (version, restart) => {
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
