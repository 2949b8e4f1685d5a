/** A shared subscription whose members are at several workers: each message once, and nothing is lost when one leaves. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DeliveryHouse, heard, leave, payloads, subscribe } from '../harness/delivery-house.ts';
import { eventually } from '../harness/eventually.ts';
import type { RawMqtt } from '../harness/raw-mqtt.ts';

let house: DeliveryHouse;
let here: string;
beforeAll(async () => {
  house = await DeliveryHouse.start('', 2);
  here = await workerOf('speaker');
});
afterAll(() => house[Symbol.asyncDispose]());

const workerOf = (name: string): Promise<string> =>
  eventually(async () => {
    const { body } = await house.house.api.call('GET', '/v1/devices/d');
    const all = body.sessions as { clientId: string; gateway: string }[];
    const mine = all.filter(({ clientId }) => clientId === `d:${name}`);
    expect(mine).toHaveLength(1);
    return mine[0]!.gateway;
  });

/** A member at the worker of the speaker, or at the other one. */
async function member(name: string, topic: string, isHere: boolean): Promise<RawMqtt> {
  for (;;) {
    const raw = await house.connect(name);
    if (((await workerOf(name)) === here) === isHere) {
      expect(await subscribe(raw, [{ topic: `$share/group/${topic}`, qos: 1 }])).toEqual([1]);
      return raw;
    }
    await leave(raw);
  }
}

test.each([
  ['at both workers', [true, false]],
  ['at the other worker only', [false, false]],
])('members %s share, and nobody hears what another heard', async (how, places) => {
  const topic = `x/${how.length}`;
  const all = await Promise.all(places.map((isHere, n) => member(`${how.length}-${n}`, topic, isHere)));
  const texts = Array.from({ length: 12 }, (_, n) => `${n}`.padStart(2, '0'));
  for (const text of texts) await house.publish(topic, text);
  const got: string[] = [];
  await eventually(async () => {
    for (const raw of all) got.push(...(await payloads(raw)));
    expect(got.length).toBeGreaterThanOrEqual(texts.length);
  });
  expect(got.sort()).toEqual(texts);
  for (const raw of all) await leave(raw);
});

test('what the last member at one worker leaves goes to one at the other, once', async () => {
  const mine = await member('mine', 'x/left', true);
  const other = await member('other', 'x/left', false);
  using bystander = await house.connect('bystander');
  await subscribe(bystander, [{ topic: 'x/left', qos: 0 }]);
  await house.publish('x/left', '1');
  await eventually(async () => expect(await payloads(mine)).toEqual(['1']));
  expect(await payloads(other)).toEqual([]);
  await leave(mine);
  const [one] = await eventually(async () => {
    const all = await heard(other);
    expect(all).toHaveLength(1);
    return all;
  });
  expect([one!.payload.toString(), one!.dup]).toEqual(['1', false]);
  await eventually(async () => expect(await payloads(bystander)).toEqual(['1']));
  expect(await payloads(bystander)).toEqual([]);
  await leave(other);
});
