/** What happens to acknowledged events when backends are slow, refuse, come back, or the spool is full. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectDevice, onAcknowledged } from '../harness/mqtt-device.ts';
import { sh, withPrograms } from '../harness/peer-program.ts';
import { packet, RawMqtt } from '../harness/raw-mqtt.ts';

interface Taken {
  events: { id: string; data: unknown }[];
  request: IncomingMessage;
}

/** A backend that speaks HTTP, whose answer the test decides. */
let server: Server;
let url: string;
let taken: Taken[];
let answer: (taken: Taken) => { status: number; headers?: Record<string, string> };
let dir: string;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'backends-'));
  taken = [];
  answer = () => ({ status: 200 });
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const one = { events: JSON.parse(Buffer.concat(chunks).toString()), request };
      const { status, headers } = answer(one);
      if (status < 300) taken.push(one);
      response.writeHead(status, headers).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(dir, { recursive: true, force: true });
});

const start = (backend: string, more = '') =>
  House.start({
    dir,
    config: `backends:\n  hook: ${backend}\nroutes: [{ match: "#", to: [hook] }]\n${more}`,
  });

async function say(house: House, device: DeviceIdentity, ...values: unknown[]): Promise<void> {
  const { client } = await connectDevice(device, house.port('mqtts'));
  await Promise.all(
    values.map((value) =>
      client.publishAsync(`devices/${device.id}/telemetry`, JSON.stringify(value), { qos: 1 }),
    ),
  );
  await client.endAsync();
}

const heard = () => taken.flatMap(({ events }) => events.map(({ data }) => data));

async function ledger(house: House): Promise<Record<string, number>> {
  const text = await (await fetch(`${house.doors.ops}/metrics`)).text();
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^fleetgate_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
      (total, match) => total + Number(match[1]),
      0,
    );
  return {
    accepted: sum('messages_accepted_total'),
    delivered: sum('messages_delivered_total'),
    pending: sum('messages_pending'),
    dead: sum('messages_dead_lettered_total'),
    up: sum('backend_up'),
  };
}

test('http: CloudEvents in batches, by the token in a file, in order', async () => {
  writeFileSync(join(dir, 'token'), 'secret\n');
  await using house = await start(
    `{ type: http, url: "${url}", batch: 3, tokenFile: "${join(dir, 'token')}" }`,
  );
  const device = await house.api.enroll('plant', 'd');
  await say(house, device, 1, 2, 3, 4, 5, 6, 7);
  await eventually(() => expect(heard()).toEqual([1, 2, 3, 4, 5, 6, 7]));
  expect(Math.max(...taken.map(({ events }) => events.length))).toBeLessThanOrEqual(3);
  expect(taken[0]!.request.headers).toMatchObject({
    'content-type': 'application/cloudevents-batch+json',
    authorization: 'Bearer secret',
  });
  await eventually(async () =>
    expect(await ledger(house)).toMatchObject({ accepted: 7, delivered: 7, pending: 0, dead: 0 }),
  );
});

withPrograms(['openssl'], 'http over mutual TLS', () => {
  test('shows its certificate to the backend, and checks whose it talks to', async () => {
    sh(
      `make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -keyout $1.key -out $1.crt -subj /CN=$1 -addext subjectAltName=IP:127.0.0.1 2>/dev/null; }
       make backend; make gateway; make stranger`,
      dir,
    );
    const at = (name: string) => join(dir, name);
    const peers: string[] = [];
    const secure = createSecureServer(
      {
        key: readFileSync(at('backend.key')),
        cert: readFileSync(at('backend.crt')),
        ca: readFileSync(at('gateway.crt')),
        requestCert: true,
      },
      (request, response) => {
        peers.push((request.socket as TLSSocket).getPeerX509Certificate()?.subject ?? 'nobody');
        request.resume().on('end', () => response.end());
      },
    );
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    const backend = (ca: string) =>
      `{ type: http, url: "https://127.0.0.1:${(secure.address() as AddressInfo).port}/", caFile: "${at(ca)}", certFile: "${at('gateway.crt')}", keyFile: "${at('gateway.key')}", retryFirst: 20ms }`;
    try {
      const wary = await start(backend('stranger.crt'));
      await say(wary, await wary.api.enroll('plant', 'd'), 1);
      await eventually(async () => expect(await ledger(wary)).toMatchObject({ pending: 1, up: 0 }));
      expect(peers).toEqual([]);
      await wary.api.close();
      await wary.kill('SIGTERM');
      await using house = await start(backend('backend.crt'));
      await eventually(() => expect(peers).toEqual(['CN=gateway']));
      await eventually(async () => expect(await ledger(house)).toMatchObject({ pending: 0, up: 1 }));
    } finally {
      secure.closeAllConnections();
      secure.close();
    }
  });
});

test('http: a backend that is down loses nothing; ids are the same when it comes back, after a restart too', async () => {
  const attempts: string[][] = [];
  answer = ({ events }) => {
    attempts.push(events.map(({ id }) => id));
    return { status: 503 };
  };
  const first = await start(`{ type: http, url: "${url}", retryFirst: 50ms, retryLimit: 200ms }`);
  await say(first, await first.api.enroll('plant', 'd'), 'a', 'b');
  await eventually(() => expect(attempts.length).toBeGreaterThan(2));
  expect(await ledger(first)).toMatchObject({ accepted: 2, delivered: 0, pending: 2, up: 0 });
  await first.kill('SIGKILL');
  await first.api.close();
  answer = () => ({ status: 204 });
  await using second = await start(`{ type: http, url: "${url}", retryFirst: 50ms }`);
  await eventually(() => expect(heard()).toEqual(['a', 'b']));
  expect(taken[0]!.events.map(({ id }) => id)).toEqual(attempts.find((ids) => ids.length === 2));
  await eventually(async () => expect(await ledger(second)).toMatchObject({ pending: 0 }));
});

test('http: Retry-After is waited for', async () => {
  const times: number[] = [];
  answer = () => {
    times.push(performance.now());
    return times.length === 1 ? { status: 429, headers: { 'retry-after': '1' } } : { status: 200 };
  };
  await using house = await start(`{ type: http, url: "${url}", retryFirst: 1ms }`);
  await say(house, await house.api.enroll('plant', 'd'), 'patient');
  await eventually(() => expect(heard()).toEqual(['patient']));
  expect(times[1]! - times[0]!).toBeGreaterThan(950);
});

test('http: poison is set aside with its reason, and what is good beside it arrives', async () => {
  answer = ({ events }) => ({ status: events.some(({ data }) => data === 'poison') ? 422 : 200 });
  const house = await start(`{ type: http, url: "${url}" }`);
  await say(house, await house.api.enroll('plant', 'd'), 1, 2, 'poison', 3, 4);
  await eventually(() => expect(heard()).toEqual([1, 2, 3, 4]));
  await eventually(async () =>
    expect(await ledger(house)).toMatchObject({ accepted: 5, delivered: 4, pending: 0, dead: 1 }),
  );
  await house.api.close();
  await house.kill('SIGTERM');
  const spool = new Database(join(dir, 'data', 'spool.db'), { readonly: true });
  const letters = spool.prepare('SELECT backend, reason, event FROM dead_letters').all() as {
    event: string;
  }[];
  spool.close();
  expect(letters).toMatchObject([{ backend: 'hook', reason: 'HTTP 422' }]);
  expect(JSON.parse(letters[0]!.event)).toMatchObject({ data: 'poison', device: 'd' });
});

test('spool.maxDeliveryAttempts: what is refused so often goes to the dead letters', async () => {
  answer = () => ({ status: 500 });
  await using house = await start(
    `{ type: http, url: "${url}", retryFirst: 1ms, retryLimit: 5ms }`,
    'spool: { maxDeliveryAttempts: 3 }',
  );
  await say(house, await house.api.enroll('plant', 'd'), 'lost cause');
  await eventually(async () =>
    expect(await ledger(house)).toMatchObject({ accepted: 1, delivered: 0, pending: 0, dead: 1 }),
  );
});

test('spool.maxSize: devices are held back, nothing acknowledged is lost, QoS 0 is dropped and counted', async () => {
  let open = false;
  answer = () => ({ status: open ? 200 : 503 });
  await using house = await start(
    `{ type: http, url: "${url}", retryFirst: 20ms, retryLimit: 50ms }`,
    'spool: { maxSize: 20KiB, flushSize: 2KiB }',
  );
  const device = await house.api.enroll('plant', 'd');
  const { client } = await connectDevice(device, house.port('mqtts'));
  client.on('error', () => {});
  const acknowledged = new Set<string>();
  onAcknowledged(client, (payload) => acknowledged.add(JSON.parse(payload).n));
  const text = 'x'.repeat(400);
  for (let n = 0; n < 200; n++)
    client.publish('devices/d/telemetry', JSON.stringify({ n: `${n}`, text }), { qos: 1 });
  const ready = async () => (await fetch(`${house.doors.ops}/readyz`)).status;
  await eventually(async () => expect(await ready()).toBe(503));
  const held = acknowledged.size;
  expect(held).toBeLessThan(150);

  // The same door drops QoS 0 of another device, counts it, and goes on answering its pings.
  using chatty = await RawMqtt.connected(await house.api.enroll('plant', 'chatty'), house.port('mqtts'));
  for (let n = 0; n < 10; n++) chatty.send(packet(0x30, 'devices/chatty/telemetry', [0], [49]));
  chatty.sendPacket({ cmd: 'pingreq' });
  await chatty.next('pingresp');
  const metrics = await (await fetch(`${house.doors.ops}/metrics`)).text();
  expect(metrics).toMatch(/messages_refused_total\{reason="spool-full"\} 10/);

  open = true;
  await eventually(() => expect(acknowledged.size).toBe(200), { timeoutMs: 20_000 });
  await eventually(() => {
    const arrived = new Set(heard().map((data) => (data as { n: string }).n));
    expect([...acknowledged].filter((n) => !arrived.has(n))).toEqual([]);
  });
  await eventually(async () => expect(await ready()).toBe(200));
  await eventually(async () => {
    const { accepted, delivered, pending, dead } = await ledger(house);
    expect(accepted).toBe(200);
    expect(delivered! + pending! + dead!).toBe(accepted);
  });
  client.end(true);
});

test('a slow backend does not hold up another', async () => {
  answer = () => ({ status: 503 });
  await using house = await House.start({
    dir,
    config: `backends:\n  hook: { type: http, url: "${url}" }\n  lake: { type: file, path: telemetry }\nroutes: [{ match: "#", to: [hook, lake] }]\n`,
  });
  await say(house, await house.api.enroll('plant', 'd'), 'through');
  await eventually(async () =>
    expect((await house.delivered()).map(({ data }) => data)).toEqual(['through']),
  );
  expect(heard()).toEqual([]);
});

test('routes: what matches goes to every backend that it names, and only there', async () => {
  await using house = await House.start({
    dir,
    config: `backends:\n  hook: { type: http, url: "${url}" }\n  lake: { type: file, path: telemetry }\nroutes:\n  - { match: "telemetry/#", to: [lake] }\n  - { match: "events/alarm", to: [hook, lake] }\n`,
  });
  const device = await house.api.enroll('plant', 'd');
  const { client } = await connectDevice(device, house.port('mqtts'));
  for (const [topic, value] of [
    ['telemetry', 't'],
    ['telemetry/deep/er', 'tt'],
    ['events/alarm', 'a'],
    ['events/other', 'o'],
  ])
    await client.publishAsync(`devices/d/${topic}`, JSON.stringify(value), { qos: 1 });
  await client.endAsync();
  await eventually(async () => {
    expect((await house.delivered()).map(({ data }) => data)).toEqual(['t', 'tt', 'a']);
    expect(heard()).toEqual(['a']);
  });
});

test('file: rotates by size and by age; a torn last line is cut when it is opened again', async () => {
  const config = (age: string) =>
    `backends:\n  file: { type: file, path: telemetry, rotateSize: 1KiB, rotateInterval: ${age}, linger: 1ms }\n`;
  const folder = join(dir, 'data', 'telemetry');
  const files = () => readdirSync(folder).sort();
  const first = await House.start({ dir, config: config('1h') });
  const device = await first.api.enroll('plant', 'd');
  for (let n = 0; n < 12; n++) await say(first, device, { n });
  await eventually(async () => expect(await first.delivered()).toHaveLength(12));
  expect(files().length).toBeGreaterThanOrEqual(3);
  for (const name of files()) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  await first.api.close();
  await first.kill('SIGTERM');

  const last = join(folder, files().at(-1)!);
  const whole = readFileSync(last, 'utf8');
  writeFileSync(last, `${whole}{"specversion":"1.0","id":"torn`);
  await using second = await House.start({ dir, config: config('100ms') });
  expect(readFileSync(last, 'utf8')).toBe(whole);
  const before = files().length;
  for (let n = 0; n < 3; n++) {
    await say(second, device, { later: n });
    await eventually(async () => expect(await second.delivered()).toHaveLength(13 + n));
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  expect(files().length).toBe(before + 3);
});
