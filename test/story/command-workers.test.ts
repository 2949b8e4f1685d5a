/** Commands across workers: whichever holds the device hands it over, once, and one that dies loses none. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandApi } from '../harness/command-api.ts';
import { commanded, takes } from '../harness/commanded.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { gatewayOf, workerPids } from '../harness/worker-house.ts';

let house: House;
beforeAll(async () => {
  house = await House.start({ workers: 2 });
});
afterAll(() => house[Symbol.asyncDispose]());

const { sent, send, becomes } = commandApi(() => house.api);

test('a device at any worker gets its commands and answers them', async () => {
  const seen = new Set<string>();
  for (let n = 0; seen.size < 2 || n < 4; n++) {
    const device = await house.api.enroll('plant', `pump-${n}`);
    using pump = await commanded(device, house.port('mqtts'));
    seen.add(await gatewayOf(house, device));
    const answer = send(device.id, { name: 'measure', wait: '10s' });
    const packet = await pump.next();
    pump.acknowledge(packet);
    pump.reply(packet.id, 200, 'well');
    expect((await answer).body).toMatchObject({ state: 'replied', attempts: expect.any(Number) });
  }
});

test('what a worker had in flight when it was killed comes by another', { timeout: 30_000 }, async () => {
  const device = await house.api.enroll('plant', 'survivor');
  using pump = await commanded(device, house.port('mqtts'));
  const gateway = await gatewayOf(house, device);
  const ids = [await sent(device.id), await sent(device.id)];
  expect((await pump.next()).id).toBe(ids[0]);
  const pids = await workerPids(house);
  const number = Number(gateway.split('/')[1]);
  process.kill(pids[number - 1]!, 'SIGKILL');
  await pump.raw.ended();
  const later = await sent(device.id);
  using again = await eventually(() => commanded(device, house.port('mqtts')));
  const got = takes(device, again.raw);
  for (const id of [...ids, later]) {
    const packet = await got.next();
    expect(packet.id).toBe(id);
    got.acknowledge(packet);
    await becomes(device.id, id, { state: 'delivered' });
  }
});
