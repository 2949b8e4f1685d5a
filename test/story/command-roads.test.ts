/** Commands by every road: over kill -9, with a gateway apart, by HTTPS, and from the command line. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { Apart } from '../harness/apart.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { commandApi } from '../harness/command-api.ts';
import { commanded, httpsOf } from '../harness/commanded.ts';
import { eventually } from '../harness/eventually.ts';
import { command, House } from '../harness/house.ts';
import { TimedHouse } from '../harness/timed-house.ts';

test('kill -9 of the house loses no command that was accepted', { timeout: 120_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'house-'));
  const accepted: string[] = [];
  let device: DeviceIdentity | undefined;
  for (let round = 0; round < 2; round++) {
    await using house = await House.start({ dir });
    device ??= await house.api.enroll('plant', 'pump');
    const load = (async () => {
      for (let n = 0; n < 20; n++) {
        const { status, body } = await house.api.call('POST', '/v1/devices/pump/commands', {
          name: `n-${n}`,
        });
        if (status === 202) accepted.push(body.commandId);
      }
    })().catch(() => {
      // The house is gone in the middle of it.
    });
    await eventually(() => expect(accepted.length).toBeGreaterThan(round * 20 + 5), { pauseMs: 1 });
    await house.kill('SIGKILL');
    await load;
  }
  await using house = await House.start({ dir });
  using pump = await commanded(device!, house.port('mqtts'), 5);
  const seen = new Set<string>();
  await eventually(
    () => {
      for (const packet of pump.raw.packets.splice(0)) {
        if (packet.cmd !== 'publish') continue;
        seen.add(packet.topic.split('/')[3]!);
        pump.acknowledge(packet as { messageId: number });
      }
      expect(accepted.filter((id) => !seen.has(id))).toEqual([]);
    },
    { timeoutMs: 30_000 },
  );
  expect(accepted.length).toBeGreaterThan(20);
  await house.kill('SIGTERM');
  await rm(dir, { recursive: true });
});

test('with a gateway apart: at once, after an absence of the feed, and answered', {
  timeout: 60_000,
}, async () => {
  await using apart = await Apart.start();
  const { sent, send, becomes } = commandApi(() => apart.api);
  const device = await apart.api.enroll('plant', 'pump');
  const port = Number(new URL(apart.gateway.mqtts).port);
  const before = await sent('pump');
  using pump = await eventually(() => commanded(device, port));
  const first = await pump.next();
  expect(first.id).toBe(before);
  pump.acknowledge(first);
  await becomes('pump', before, { state: 'delivered' });
  const begunMs = systemClock.elapsed();
  const answer = send('pump', { name: 'measure', payload: 'x'.repeat(20_000), wait: '10s' });
  const packet = await pump.next();
  // Not by the next heartbeat of the feed.
  expect(systemClock.elapsed() - begunMs).toBeLessThan(1_500);
  pump.acknowledge(packet);
  pump.reply(packet.id, 200, 'y'.repeat(20_000));
  expect((await answer).body).toMatchObject({ state: 'replied', reply: { payload: 'y'.repeat(20_000) } });
  await using https = httpsOf(device, apart.gateway.https);
  const waiting = https.call('GET', '/v1/commands?wait=10s');
  pump.raw[Symbol.dispose]();
  const later = await sent('pump', { name: 'later' });
  expect((await waiting).body.commands).toMatchObject([{ id: later, name: 'later' }]);
  expect((await https.call('POST', `/v1/commands/${later}/reply?status=202`, 'soon')).status).toBe(200);
  await becomes('pump', later, { state: 'replied', replyStatus: 202 });
});

test('by HTTPS: what waits, what comes, what is acknowledged, and what is refused', {
  timeout: 30_000,
}, async () => {
  await using house = await TimedHouse.start({ 'https.maxPollsPerDevice': 1, 'https.maxPolls': 2 });
  const { sent, becomes } = commandApi(() => house.api);
  const url = `https://127.0.0.1:${house.ports.https}`;
  const device = await house.api.enroll('plant', 'meter');
  await using meter = httpsOf(device, url);
  expect(await meter.call('GET', '/v1/commands')).toEqual({ status: 200, body: { commands: [] } });
  const [a, b] = [
    await sent('meter', { name: 'read', payload: { all: true } }),
    await sent('meter', { name: 'raw', payloadBase64: '/w==' }),
  ];
  const first = await meter.call('GET', '/v1/commands?wait=30s');
  expect(first.body.commands).toMatchObject([
    { id: a, name: 'read', contentType: 'application/json', payload: { all: true } },
    { id: b, name: 'raw', payloadBase64: '/w==' },
  ]);
  // Not acknowledged: it comes again.
  expect((await meter.call('GET', '/v1/commands')).body.commands).toHaveLength(2);
  const rest = await meter.call('GET', `/v1/commands?ack=${a}`);
  expect(rest.body.commands).toMatchObject([{ id: b }]);
  await becomes('meter', a, { state: 'delivered' });
  expect(
    await meter.call('POST', `/v1/commands/${b}/reply?status=404`, '{"no":1}', 'application/json'),
  ).toEqual({ status: 200, body: { commandId: b, state: 'replied' } });
  await becomes('meter', b, { state: 'replied', reply: { status: 404, payload: { no: 1 } } });

  const waiting = meter.call('GET', '/v1/commands?wait=20s');
  const busy = await eventually(async () => {
    const answer = await meter.call('GET', '/v1/commands?wait=0s');
    expect(answer.status).toBe(429);
    return answer;
  });
  expect(busy.body.code).toBe('rate-limited');
  const others = await Promise.all(['m2', 'm3'].map((id) => house.api.enroll('plant', id)));
  await using second = httpsOf(others[0]!, url);
  await using third = httpsOf(others[1]!, url);
  const alsoWaiting = second.call('GET', '/v1/commands?wait=2s');
  await eventually(async () => expect((await third.call('GET', '/v1/commands')).status).toBe(503));
  const c = await sent('meter');
  expect((await waiting).body.commands).toMatchObject([{ id: c }]);
  expect((await alsoWaiting).body.commands).toEqual([]);

  const other = await sent('m2');
  for (const [method, path, status] of [
    ['POST', `/v1/commands/${other}/reply`, 404],
    ['POST', `/v1/commands/${c}/reply?status=99`, 400],
    ['POST', '/v1/commands/x/reply', 404],
    ['GET', '/v1/commands?ack=x', 400],
    ['GET', '/v1/commands?wait=soon', 400],
    ['POST', '/v1/commands', 405],
  ] as const)
    expect([path, (await meter.call(method, path, method === 'POST' ? '' : undefined)).status]).toEqual([
      path,
      status,
    ]);
});

test('an answer has https.maxPollCommands, and is waited for no longer than https.maxPollWait', async () => {
  await using house = await TimedHouse.start({ 'https.maxPollCommands': 2, 'https.maxPollWait': '200ms' });
  const { sent } = commandApi(() => house.api);
  const device = await house.api.enroll('plant', 'meter');
  await using meter = httpsOf(device, `https://127.0.0.1:${house.ports.https}`);
  expect((await meter.call('GET', '/v1/commands?wait=1h')).body.commands).toEqual([]);
  const ids = [await sent('meter'), await sent('meter'), await sent('meter')];
  const idsOf = (commands: { id: string }[]) => commands.map(({ id }) => id);
  const first = await meter.call('GET', '/v1/commands');
  expect(idsOf(first.body.commands)).toEqual(ids.slice(0, 2));
  const rest = await meter.call('GET', `/v1/commands?ack=${ids[0]},${ids[1]}`);
  expect(idsOf(rest.body.commands)).toEqual(ids.slice(2));
});

test('a revocation ends a request that waits for commands', async () => {
  await using house = await TimedHouse.start();
  const device = await house.api.enroll('plant', 'meter');
  await using meter = httpsOf(device, `https://127.0.0.1:${house.ports.https}`);
  await meter.call('GET', '/v1/commands');
  const waiting = meter.call('GET', '/v1/commands?wait=30s').then(
    // The client may have asked again on a new connection, and was told why.
    ({ status }) => status,
    () => 403,
  );
  await eventually(async () => {
    const { body } = await house.api.call('GET', '/v1/devices/meter');
    expect(body.sessions).toHaveLength(1);
  });
  await house.api.call('POST', '/v1/devices/meter/revoke');
  expect(await waiting).toBe(403);
});

test('fleetgate commands: send and wait, list, show, withdraw', { timeout: 60_000 }, async () => {
  await using house = await House.start();
  const device = await house.api.enroll('plant', 'pump');
  const data = join(house.dir, 'data');
  const fleetgate = async (...args: string[]) => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      command,
      'commands',
      ...args,
      '--data',
      data,
      '--registry',
      house.doors.registry,
      '--json',
    ]);
    return JSON.parse(stdout);
  };
  await writeFile(join(house.dir, 'p.bin'), Buffer.from([0, 255]));
  const away = await fleetgate(
    'send',
    'pump',
    'flash',
    '--payload-file',
    join(house.dir, 'p.bin'),
    '--ttl',
    '5m',
  );
  expect(await fleetgate('show', 'pump', away.commandId)).toMatchObject({
    name: 'flash',
    payloadBase64: 'AP8=',
  });
  expect(await fleetgate('withdraw', 'pump', away.commandId)).toMatchObject({ state: 'withdrawn' });
  using pump = await commanded(device, house.port('mqtts'), 4);
  const answer = fleetgate('send', 'pump', 'open', '--payload', '{"valve":7}', '--wait', '20s');
  const packet = await pump.next();
  expect(String(packet.payload)).toBe('{"valve":7}');
  pump.acknowledge(packet);
  pump.reply(packet.id, 200, 'open');
  expect(await answer).toMatchObject({ state: 'replied', reply: { status: 200, payload: 'open' } });
  expect(await fleetgate('list', 'pump', '--state', 'replied')).toMatchObject([{ commandId: packet.id }]);
});
