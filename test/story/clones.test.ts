/** One certificate, two devices: they are found, told of, kept out when that is wished for, and let in again. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { command, House } from '../harness/house.ts';
import { knock } from '../harness/house-devices.ts';
import { connectBytes, packet, RawMqtt } from '../harness/raw-mqtt.ts';

const run = promisify(execFile);
const [here, there] = ['127.0.1.1', '127.0.2.1'];

/** Connects from an address of the loopback network; the older session ends. */
async function from(house: House, device: DeviceIdentity, localAddress: string): Promise<RawMqtt> {
  const raw = await RawMqtt.open(device, house.port('mqtts'), 5, { localAddress });
  raw.send(connectBytes(device.id, 5));
  await raw.next('connack');
  return raw;
}

/** Two that take turns, each coming back when it was ended. */
async function fight(house: House, device: DeviceIdentity, turns: number): Promise<RawMqtt> {
  let last = await from(house, device, here);
  for (let turn = 1; turn < turns; turn++) last = await from(house, device, turn % 2 ? there : here);
  return last;
}
const show = async (house: House, id: string) => (await house.api.call('GET', `/v1/devices/${id}`)).body;
const metric = async (house: House, line: RegExp): Promise<number> =>
  Number(line.exec(await (await fetch(`${house.doors.ops}/metrics`)).text())?.[1]);

describe('watched', () => {
  let house: House;
  beforeAll(async () => {
    house = await House.start({ config: 'clones: { threshold: 4, sequence: sequence }' });
  });
  afterAll(() => house[Symbol.asyncDispose]());

  test('a suspicion is in the device, the feed, the audit, the metrics, the log and the command; the device stays in', async () => {
    const device = await house.api.enroll('plant', 'pump');
    using last = await fight(house, device, 9);
    const { suspicion, state } = await eventually(async () => {
      const shown = await show(house, 'pump');
      expect(shown.suspicion).not.toBeNull();
      return shown;
    });
    expect(state).toBe('active');
    expect(last.closed).toBe(false);
    expect(suspicion).toMatchObject({ reason: 'takeovers', since: expect.any(String) });
    const hosts = suspicion.places.map(({ address }: { address: string }) => address.split(':')[0]);
    expect(new Set(hosts)).toEqual(new Set([here, there]));

    const { body: audit } = await house.api.call('GET', '/v1/audit?since=0&limit=1000');
    const entry = audit.items.find(({ action }: { action: string }) => action === 'device.suspect');
    expect(entry).toMatchObject({
      target: 'pump',
      actor: expect.stringMatching(/^gateway:/),
      detail: {
        before: { state: 'active', suspicion: null },
        after: { state: 'active', suspicion: { places: suspicion.places } },
      },
    });
    expect(await metric(house, /^fleetgate_clones_suspected_total (\d+)/m)).toBe(1);
    expect(await metric(house, /takeovers_total\{address="other"\} (\d+)/)).toBe(8);
    expect(house.log.some((line) => line.includes('seems to be two'))).toBe(true);
    for (const verb of [['devices', 'show'], ['explain']]) {
      const { stdout } = await run(process.execPath, [
        command,
        ...verb,
        'pump',
        '--data',
        join(house.dir, 'data'),
      ]);
      expect(stdout).toMatch(/seems to be two.*takeovers|seems to be two: two networks/);
      expect(stdout).toContain(there);
    }
    await house.api.call('POST', '/v1/devices/pump/enable');
    expect((await show(house, 'pump')).suspicion).toBeNull();
  });

  test('a device that takes over itself from one network is no clone, however often', async () => {
    const device = await house.api.enroll('plant', 'restless');
    for (let n = 0; n < 20; n++) (await from(house, device, `127.0.1.${n + 1}`)).send([0xc0, 0]);
    expect((await show(house, 'restless')).suspicion).toBeNull();
  });

  test('a sequence that goes back elsewhere is found on both doors, though the two never meet', async () => {
    const device = await house.api.enroll('plant', 'counting');
    const publish = async (raw: RawMqtt, value: string) => {
      const name = 'sequence';
      const property = [0x26, 0, name.length, ...Buffer.from(name), 0, value.length, ...Buffer.from(value)];
      raw.send(packet(0x32, 'devices/counting/telemetry', [0, 1, property.length, ...property], [49]));
      await raw.next('puback');
    };
    const day = await from(house, device, here);
    await publish(day, '50000');
    await publish(day, '50001');
    day.send([0xe0, 0]);
    await day.ended();
    expect((await show(house, 'counting')).suspicion).toBeNull();
    const { ca, certificate: cert, key } = device;
    const agent = new Agent({ connect: { ca, cert, key, localAddress: there } as object });
    const answer = await request(`${house.doors.https}/v1/telemetry`, {
      dispatcher: agent,
      method: 'POST',
      body: '1',
      headers: { sequence: '40000' },
    });
    expect(answer.statusCode).toBe(202);
    await eventually(async () =>
      expect((await show(house, 'counting')).suspicion).toMatchObject({ reason: 'sequence' }),
    );
    await agent.destroy();
  });
});

test('quarantine: both are out and told why, neither may enroll anew, and enabling lets the real one in', async () => {
  await using house = await House.start({ config: 'clones: { threshold: 4, quarantine: true }' });
  const device = await house.api.enroll('plant', 'pump');
  let inside: RawMqtt | null = null;
  for (let turn = 0; turn < 200; turn++) {
    const raw = await RawMqtt.open(device, house.port('mqtts'), 5, {
      localAddress: turn % 2 ? there : here,
    });
    raw.send(connectBytes('pump', 5));
    const { reasonCode } = await raw.next('connack');
    if (reasonCode === 0x8a) break;
    expect(reasonCode).toBe(0);
    inside = raw;
  }
  expect(await inside?.ended()).toBe(0x98);
  expect((await show(house, 'pump')).state).toBe('quarantined');
  expect((await show(house, 'pump')).sessions).toEqual([]);
  expect(await knock(house, device)).toMatchObject({ code: 0x8a, reason: 'quarantined' });
  await expect(house.api.enroll('plant', 'pump')).rejects.toThrow(/quarantined/);
  const { body: listed } = await house.api.call('GET', '/v1/devices?state=quarantined');
  expect(listed.items.map(({ id }: { id: string }) => id)).toEqual(['pump']);
  expect((await house.api.call('POST', '/v1/devices/pump/enable')).status).toBe(200);
  expect(await knock(house, device)).toMatchObject({ code: 0 });
});

test('flapping: who comes too often is told for how long it is out; the journal and the metrics have the word', async () => {
  await using house = await House.start({
    config: 'limits: { flappingConnects: 5, flappingWindow: 1m, flappingBan: 1s }',
  });
  const device = await house.api.enroll('plant', 'pump');
  for (let n = 0; n < 5; n++) expect(await knock(house, device)).toMatchObject({ code: 0 });
  using raw = await RawMqtt.open(device, house.port('mqtts'));
  raw.send(connectBytes('pump', 5));
  const connack = await raw.next('connack');
  expect(connack).toMatchObject({ reasonCode: 0x8a });
  expect(connack.properties.reasonString).toMatch(/may come again in 1 s/);
  const { body } = await house.api.call('GET', '/v1/devices/pump/decisions');
  expect(body.items[0]).toMatchObject({ admitted: false, reason: 'flapping' });
  expect(await metric(house, /flapping_bans_total (\d+)/)).toBe(1);
  expect(await metric(house, /connects_total\{[^}]*reason="flapping"[^}]*\} ([1-9]\d*)/)).toBe(1);
  await eventually(async () => expect(await knock(house, device)).toMatchObject({ code: 0 }));
});
