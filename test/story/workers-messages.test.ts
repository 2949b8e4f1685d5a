/** Commands, shares and other messages between devices at different workers: as at one. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { commandApi } from '../harness/command-api.ts';
import { takes } from '../harness/commanded.ts';
import { payloads, subscribe } from '../harness/delivery-house.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import type { RawMqtt } from '../harness/raw-mqtt.ts';
import { connectAt } from '../harness/worker-house.ts';

const gateways = ['gateway/1', 'gateway/2'];

let house: House;
const devices: Record<string, DeviceIdentity> = {};
beforeAll(async () => {
  house = await House.start({ workers: 2 });
  const rules = [
    { allow: 'publish', pattern: 'x/#' },
    { allow: 'subscribe', pattern: 'x/#' },
    { allow: 'subscribe', pattern: 'devices/${device.id}/commands/#' },
    { allow: 'publish', pattern: 'devices/${device.id}/commands/+/reply/+' },
  ];
  const role = await house.api.call('PUT', '/v1/roles/wire', { rules });
  expect(role.status).toBe(200);
  for (const id of ['a', 'b', 'c', 'd', 'e']) {
    devices[id] = await house.api.enroll('plant', id);
    await house.api.call('PATCH', `/v1/devices/${id}`, { role: 'wire' });
  }
});
afterAll(() => house[Symbol.asyncDispose]());

const at = (id: string, gateway: string) => connectAt(house, devices[id]!, gateway);

let messageId = 0;
async function publish(from: RawMqtt, topic: string, payload: string): Promise<void> {
  messageId += 1;
  from.sendPacket({ cmd: 'publish', topic, payload, qos: 1, messageId, dup: false, retain: false });
  await from.next('puback');
}

test('a message reaches every subscriber once, wherever it and they are', async () => {
  using a = await at('a', 'gateway/1');
  using b = await at('b', 'gateway/2');
  for (const raw of [a, b]) await subscribe(raw, ['x/news/#', 'x/+/today']);
  using c = await at('c', 'gateway/1');
  using d = await at('d', 'gateway/2');
  const sent: string[] = [];
  for (let n = 0; n < 20; n++) {
    await publish(n % 2 ? c : d, 'x/news/today', `${n}`);
    sent.push(`${n}`);
  }
  for (const raw of [a, b])
    await eventually(() =>
      expect(raw.packets.filter(({ cmd }) => cmd === 'publish')).toHaveLength(sent.length),
    );
  // In the order of each publisher [MQTT-4.6.0-6].
  for (const raw of [a, b]) {
    const got = await payloads(raw);
    expect([...got].sort()).toEqual([...sent].sort());
    for (const parity of [0, 1]) {
      const own = got.filter((text) => Number(text) % 2 === parity).map(Number);
      expect(own).toEqual([...own].sort((x, y) => x - y));
    }
  }
});

test('of a shared subscription over two workers one member hears each message', async () => {
  using a = await at('a', 'gateway/1');
  using b = await at('b', 'gateway/2');
  for (const raw of [a, b]) await subscribe(raw, [{ topic: '$share/crew/x/jobs', qos: 1 }]);
  using c = await at('c', 'gateway/1');
  using d = await at('d', 'gateway/2');
  const sent = Array.from({ length: 20 }, (_, n) => `${n}`);
  for (const [n, text] of sent.entries()) await publish(n % 2 ? c : d, 'x/jobs', text);
  await eventually(() => {
    const all = [...a.packets, ...b.packets].filter(({ cmd }) => cmd === 'publish');
    expect(all).toHaveLength(sent.length);
  });
  const [hereGot, thereGot] = [await payloads(a), await payloads(b)];
  expect([...hereGot, ...thereGot].sort()).toEqual([...sent].sort());
  expect(Math.min(hereGot.length, thereGot.length)).toBeGreaterThan(0);
  // When nobody of the group is left at the publisher's worker, who is elsewhere gets it all.
  a.socket.destroy();
  await eventually(async () => {
    await publish(c, 'x/jobs', 'more');
    expect(await payloads(b)).toEqual(['more']);
  });
});

test('a command goes to its device at whichever worker, and the answer comes back', async () => {
  const { sent, becomes } = commandApi(() => house.api);
  for (const gateway of gateways) {
    const device = devices.e!;
    const waiting = await sent(device.id, { name: 'waits' });
    using raw = await at('e', gateway);
    await subscribe(raw, [{ topic: `devices/${device.id}/commands/#`, qos: 1 }]);
    const pump = takes(device, raw);
    const first = await pump.next();
    expect(first.id).toBe(waiting);
    pump.acknowledge(first);
    const id = await sent(device.id, { name: 'open', payload: { valve: 7 } });
    const packet = await pump.next();
    expect(packet).toMatchObject({ id, name: 'open' });
    pump.acknowledge(packet);
    pump.reply(id, 200, 'done');
    await becomes(device.id, id, { state: 'replied', reply: { status: 200, payload: 'done' } });
  }
});
