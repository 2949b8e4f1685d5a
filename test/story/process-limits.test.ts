/** One folder, one house; many clients, a quick end; few descriptors, no crash; operators' doors are not for devices. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';
import { expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { command, House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { withPrograms } from '../harness/peer-program.ts';

const run = promisify(execFile);

test('a second house on the same folder is refused and says why; the first goes on', async () => {
  await using house = await House.start();
  const second = run(process.execPath, [
    command,
    'up',
    '--data',
    join(house.dir, 'data'),
    '--mqtts-port',
    '0',
  ]);
  await expect(second).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(/already|in use/i) });
  expect((await house.api.call('GET', '/v1/status')).status).toBe(200);
});

test('SIGTERM with 1,000 connected clients ends within seconds, exit code 0, and each is told', async () => {
  await using house = await House.start();
  const device = await house.api.enroll('plant', 'crowd');
  await house.api.call('PUT', '/v1/roles/crowd', {
    severalSessions: true,
    rules: [{ allow: 'publish', pattern: 'devices/${device.id}/telemetry/#' }],
  });
  expect((await house.api.call('PATCH', '/v1/devices/crowd', { role: 'crowd' })).status).toBe(200);
  const closed: Promise<number | null>[] = [];
  for (let lot = 0; lot < 10; lot++) {
    const clients = Array.from({ length: 100 }, (_, n) =>
      connectDevice(device, house.port('mqtts'), { clientId: `crowd/${lot}-${n}`, protocolVersion: 5 }),
    );
    for (const connected of await Promise.all(clients)) closed.push(connected.closed);
  }
  const before = performance.now();
  expect(await house.kill('SIGTERM')).toBe(0);
  expect(performance.now() - before).toBeLessThan(10_000);
  expect(new Set(await Promise.all(closed))).toEqual(new Set([0x8b]));
});

withPrograms(['prlimit'], 'out of descriptors', () => {
  test('with no descriptors left it refuses newcomers, keeps who is in, and recovers', async () => {
    await using house = await House.start();
    const device = await house.api.enroll('plant', 'inside');
    const { client } = await connectDevice(device, house.port('mqtts'));
    await run('prlimit', ['--pid', String(house.child.pid), '--nofile=100:4096']);
    const crowd = Array.from({ length: 200 }, () => {
      const socket = tls.connect({ host: '127.0.0.1', port: house.port('mqtts'), rejectUnauthorized: false });
      socket.on('error', () => {});
      return socket;
    });
    await eventually(async () =>
      expect(crowd.filter((socket) => socket.connecting).length).toBeLessThan(200),
    );
    await client.publishAsync('devices/inside/telemetry', '"still here"', { qos: 1 });
    for (const socket of crowd) socket.destroy();
    await run('prlimit', ['--pid', String(house.child.pid), '--nofile=4096:4096']);
    const late = await house.api.enroll('plant', 'late');
    const { client: second } = await eventually(() => connectDevice(late, house.port('mqtts')));
    await second.endAsync();
    await client.endAsync();
  });
});

test("operators' and probes' paths do not exist on the device doors", async () => {
  await using house = await House.start();
  const device = await house.api.enroll('plant', 'curious');
  const token = (await readFile(house.doors.adminTokenFile, 'utf8')).trim();
  const dispatcher = new Agent({ connect: { ca: device.ca, cert: device.certificate, key: device.key } });
  for (const path of [
    '/v1/devices',
    '/v1/status',
    '/v1/fleets',
    '/openapi.json',
    '/metrics',
    '/v1/changes?since=0',
  ]) {
    const answer = await request(house.doors.https + path, {
      dispatcher,
      headers: { authorization: `Bearer ${token}` },
    });
    expect([path, answer.statusCode]).toEqual([path, 404]);
    await answer.body.dump();
  }
  const asOperator = await request(`${house.doors.registry}/v1/devices`, { dispatcher });
  expect(asOperator.statusCode).toBe(401);
  await asOperator.body.dump();
  await dispatcher.destroy();
});

test('a usage error is exit code 2, and the help shows an example', async () => {
  const child = spawn(process.execPath, [command, 'up', '--no-such-flag']);
  expect((await once(child, 'exit'))[0]).toBe(2);
  const { stdout } = await run(process.execPath, [command, 'up', '--help']);
  expect(stdout).toMatch(/fleetgate up .*--data/);
});
