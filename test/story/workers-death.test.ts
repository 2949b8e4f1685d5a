/** A worker that dies is replaced and takes nothing along that was acknowledged; fewer workers than before have it all too. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { metricsOf } from '../harness/metrics-page.ts';
import { connectDevice, onAcknowledged } from '../harness/mqtt-device.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';
import { gatewayOf, workerPids } from '../harness/worker-house.ts';

const kills = 6;

test(`${kills} workers are killed under load: replaced, and nothing acknowledged is lost`, {
  timeout: 180_000,
}, async () => {
  await using house = await House.start({ workers: 3 });
  const fleet = await Promise.all(
    Array.from({ length: 9 }, (_, n) => house.api.enroll('plant', `kill-${n}`)),
  );
  const acknowledged = new Set<string>();
  const stop = new AbortController();
  const load = fleet.map(async (identity, n) => {
    for (let life = 0; !stop.signal.aborted; life++) {
      const connected = await connectDevice(identity, house.port('mqtts'), {
        protocolVersion: n % 2 ? 5 : 4,
      }).catch(() => null);
      if (!connected) {
        await systemClock.sleep(20);
        continue;
      }
      const { client } = connected;
      onAcknowledged(client, (payload) => acknowledged.add(JSON.parse(payload).mark));
      for (let count = 0; client.connected && !stop.signal.aborted; count++) {
        const mark = `${n}/${life}/${count}`;
        client.publish(`devices/${identity.id}/telemetry`, JSON.stringify({ mark }), { qos: 1 });
        await systemClock.sleep(count % 5 === 4 ? 5 : 0);
      }
      client.end(true);
    }
  });
  for (let killed = 0; killed < kills; killed++) {
    await systemClock.sleep(randomInt(100, 400));
    const pids = await workerPids(house);
    const victim = pids[randomInt(pids.length)]!;
    process.kill(victim, 'SIGKILL');
    await eventually(
      async () => {
        const now = await workerPids(house);
        expect(now).toHaveLength(3);
        expect(now).not.toContain(victim);
        expect(await (await fetch(`${house.doors.ops}/readyz`)).json()).toEqual({ ready: true, reasons: [] });
      },
      { timeoutMs: 30_000 },
    );
  }
  stop.abort();
  await Promise.all(load);
  expect(acknowledged.size).toBeGreaterThan(kills * fleet.length);
  const idsOf = await eventually(
    async () => {
      const found = new Map<string, Set<unknown>>();
      for (const event of await house.delivered()) {
        const { mark } = event.data as { mark: string };
        found.set(mark, (found.get(mark) ?? new Set()).add(event.id));
      }
      expect([...acknowledged].filter((mark) => !found.has(mark))).toEqual([]);
      return found;
    },
    { timeoutMs: 20_000 },
  );
  expect([...idsOf.values()].filter((ids) => ids.size !== 1)).toEqual([]);

  const metrics = await metricsOf(house);
  expect(metrics.get('fleetgate_worker_restarts_total')).toBe(kills);
  expect(metrics.get('fleetgate_workers')).toBe(3);
  // Nobody waits for the dead: the receipt is complete, and names the sessions of those who took their places.
  const device = fleet[0]!;
  using raw = await RawMqtt.connected(device, house.port('mqtts'));
  await gatewayOf(house, device);
  const { body } = await house.api.call('POST', `/v1/devices/${device.id}/revoke`);
  expect(body).toMatchObject({ complete: true, sessions: [{ protocol: 'mqtt5' }] });
  await raw.ended();
});

test('one worker empties the spools that three have left', { timeout: 120_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'house-'));
  const received: string[] = [];
  let open = false;
  const backend = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text) => {
      body += text;
    });
    request.on('end', () => {
      if (open) for (const event of JSON.parse(body)) received.push(event.data.mark);
      response.writeHead(open ? 202 : 503).end();
    });
  });
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const { port } = backend.address() as AddressInfo;
  const config = `
backends: { hook: { type: http, url: "http://127.0.0.1:${port}/", retryFirst: 50ms, retryLimit: 200ms } }
routes: [{ match: "#", to: [hook] }]`;
  const sent: string[] = [];
  {
    await using house = await House.start({ dir, config, workers: 3 });
    const fleet = await Promise.all(
      Array.from({ length: 12 }, (_, n) => house.api.enroll('plant', `left-${n}`)),
    );
    const gateways = new Set<string>();
    for (const device of fleet) {
      const { client } = await connectDevice(device, house.port('mqtts'));
      gateways.add(await gatewayOf(house, device));
      for (let n = 0; n < 5; n++) {
        const mark = `${device.id}/${n}`;
        await client.publishAsync(`devices/${device.id}/events`, JSON.stringify({ mark }), { qos: 1 });
        sent.push(mark);
      }
      await client.endAsync();
    }
    expect(gateways.size).toBeGreaterThan(1);
    await eventually(async () =>
      expect((await metricsOf(house)).get('fleetgate_messages_pending{backend="hook"}')).toBe(sent.length),
    );
  }
  expect(received).toEqual([]);
  open = true;
  {
    await using house = await House.start({ dir, config, workers: 1 });
    await eventually(async () => {
      expect([...new Set(received)].sort()).toEqual([...sent].sort());
      expect((await metricsOf(house)).get('fleetgate_messages_pending{backend="hook"}')).toBe(0);
    });
  }
  backend.close();
  await rm(dir, { recursive: true });
});

test('SIGTERM: every worker tells its sessions, and nothing is left running', {
  timeout: 120_000,
}, async () => {
  await using house = await House.start({ workers: 2 });
  const fleet = await Promise.all(
    Array.from({ length: 8 }, (_, n) => house.api.enroll('plant', `told-${n}`)),
  );
  const connected = await Promise.all(fleet.map((device) => RawMqtt.connected(device, house.port('mqtts'))));
  const pids = await workerPids(house);
  expect(pids).toHaveLength(2);
  expect(await house.kill('SIGTERM')).toBe(0);
  expect(await Promise.all(connected.map((raw) => raw.ended()))).toEqual(fleet.map(() => 0x8b));
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
});

test('a main process that is killed takes its workers along, and the next start finds all free', {
  timeout: 120_000,
}, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'house-'));
  const first = await House.start({ dir, workers: 2 });
  const device = await first.api.enroll('plant', 'orphan');
  using raw = await RawMqtt.connected(device, first.port('mqtts'));
  await first.api.close();
  await first.kill('SIGKILL');
  await raw.ended();
  await using second = await House.start({ dir, workers: 2 });
  using again = await RawMqtt.connected(device, second.port('mqtts'));
  expect(again.closed).toBe(false);
  await second.kill('SIGTERM');
  await rm(dir, { recursive: true });
});
