/** Sessions that outlive their connections, at several workers: each goes on wherever its device comes back, and loses nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { payloads, subscribe } from '../harness/delivery-house.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';
import { connectAt, gatewayOf, workerPids } from '../harness/worker-house.ts';

const kept = { clean: false, properties: { sessionExpiryInterval: 600 } };
const gone = (id: string) => ({
  will: {
    topic: `devices/${id}/events/gone`,
    payload: Buffer.from('"gone"'),
    qos: 1 as const,
    retain: false,
  },
});

async function enroll(house: House, id: string): Promise<DeviceIdentity> {
  const rules = [
    { allow: 'publish', pattern: 'x/#', retain: true },
    { allow: 'subscribe', pattern: 'x/#' },
    { allow: 'publish', pattern: 'devices/${device.id}/events/#' },
  ];
  await house.api.call('PUT', '/v1/roles/wire', { rules });
  const device = await house.api.enroll('plant', id);
  await house.api.call('PATCH', `/v1/devices/${id}`, { role: 'wire' });
  return device;
}

const isAway = (house: House, { id }: DeviceIdentity) =>
  eventually(async () =>
    expect((await house.api.call('GET', `/v1/devices/${id}`)).body.sessions).toEqual([]),
  );

async function publish(raw: RawMqtt, topic: string, payload: string, retain = false): Promise<void> {
  raw.sendPacket({ cmd: 'publish', topic, payload, qos: 1, messageId: 9, dup: false, retain });
  await raw.next('puback');
}

const wordsOf = async (house: House, device: string): Promise<number> =>
  (await house.delivered()).filter((event) => event.subject === 'gone' && event.device === device).length;

test('a session goes on at another worker with what came meanwhile; what is retained is heard there', {
  timeout: 120_000,
}, async () => {
  await using house = await House.start({ workers: 2 });
  const [reader, writer] = [await enroll(house, 'reader'), await enroll(house, 'writer')];
  using speaker = await connectAt(house, writer, 'gateway/2');
  {
    using first = await connectAt(house, reader, 'gateway/1', kept);
    await subscribe(first, [{ topic: 'x/queue', qos: 1 }]);
    await publish(speaker, 'x/queue', 'live');
    await eventually(async () => expect(await payloads(first)).toEqual(['live']));
  }
  await isAway(house, reader);
  for (const text of ['away-1', 'away-2']) await publish(speaker, 'x/queue', text);
  await publish(speaker, 'x/kept', 'retained', true);
  for (let there = false; !there; ) {
    using again = await RawMqtt.open(reader, house.port('mqtts'));
    again.sendPacket({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clientId: reader.id,
      keepalive: 60,
      ...kept,
    });
    expect(await again.next('connack')).toMatchObject({ sessionPresent: true, reasonCode: 0 });
    // None of it is acknowledged: the next connection gets it all again, in order.
    await eventually(() =>
      expect(again.packets.flatMap((each) => (each.cmd === 'publish' ? [String(each.payload)] : []))).toEqual(
        ['live', 'away-1', 'away-2'],
      ),
    );
    there = (await gatewayOf(house, reader)) === 'gateway/2';
    if (!there) continue;
    await subscribe(again, [{ topic: 'x/kept', qos: 0 }]);
    await eventually(() =>
      expect(again.packets.findLast(({ cmd }) => cmd === 'publish')).toMatchObject({
        topic: 'x/kept',
        retain: true,
      }),
    );
  }
});

test('Wills of a worker that was killed leave, once', { timeout: 120_000 }, async () => {
  await using house = await House.start({ workers: 2 });
  const device = await enroll(house, 'lost');
  using raw = await connectAt(house, device, 'gateway/1', gone('lost'));
  const before = await wordsOf(house, 'lost');
  const [first] = await workerPids(house);
  process.kill(first!, 'SIGKILL');
  await raw.ended();
  await eventually(async () => expect(await wordsOf(house, 'lost')).toBe(before + 1), { timeoutMs: 60_000 });
});

test('fewer workers: whoever was connected to one that is no more is away, and its Will leaves', {
  timeout: 120_000,
}, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'house-'));
  {
    await using house = await House.start({ dir, workers: 2 });
    const device = await enroll(house, 'left');
    using raw = await connectAt(house, device, 'gateway/2', gone('left'));
    await house.kill('SIGKILL');
    await raw.ended();
  }
  await using house = await House.start({ dir, workers: 1 });
  await eventually(async () => expect(await wordsOf(house, 'left')).toBeGreaterThan(0), {
    timeoutMs: 30_000,
  });
  await house.kill('SIGTERM');
  await rm(dir, { recursive: true });
});
