/** Every limit at the doors is a number in the configuration, and is reached here. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectBytes, packet, RawMqtt } from '../harness/raw-mqtt.ts';

const config = `
mqtt:
  maxConnectSize: 200B
  maxPacketSize: 1KiB
  maxTopicLevels: 5
  maxTopicLength: 64B
  maxSubscriptions: 3
  maxUserProperties: 2
  maxKeepAlive: 90s
  receiveMaximum: 5
  maxSessionExpiry: 60s
  maxSessions: 1
  maxWillSize: 10B
  maxQueuedSize: 16MiB
  drainTimeout: 1s
https: { maxBodySize: 100B, maxBatchSize: 300B, maxBatchEvents: 3, headersTimeout: 1s, requestTimeout: 2s, keepAliveTimeout: 1s }
registry: { maxBodySize: 4KiB, maxCsrSize: 300B, failedAuthRate: 3, enrollRate: 1000 }
limits: { journalSize: 5 }
`;

let house: House;
let device: DeviceIdentity;
const topic = 'devices/d/telemetry';
const port = () => house.port('mqtts');
beforeAll(async () => {
  house = await House.start({ config });
  device = await house.api.enroll('plant', 'd');
});
afterAll(() => house[Symbol.asyncDispose]());

describe('mqtt', () => {
  test('maxConnectSize', async () => {
    using raw = await RawMqtt.open(device, port());
    raw.send([0x10, 201, 1]);
    await raw.ended();
  });

  test('maxPacketSize, announced and held', async () => {
    using raw = await RawMqtt.open(device, port());
    raw.send(connectBytes('d', 5));
    expect((await raw.next('connack')).properties).toMatchObject({
      maximumPacketSize: 1024,
      receiveMaximum: 5,
    });
    raw.send([0x30, 0xff, 0x7f]);
    expect(await raw.ended()).toBe(0x95);
  });

  test('maxTopicLevels and maxTopicLength', async () => {
    for (const deep of [`${topic}/a/b/c`, `${topic}/${'x'.repeat(50)}`]) {
      using raw = await RawMqtt.connected(device, port());
      raw.send(packet(0x30, deep, [0]));
      expect(await raw.ended()).toBe(0x90);
    }
  });

  test('maxSubscriptions', async () => {
    using raw = await RawMqtt.connected(device, port());
    const ask = async (...names: string[]) => {
      const filters = names.flatMap((name) => [`devices/d/commands/${name}`, [0]]);
      raw.send(packet(0x82, [0, 1, 0], ...filters));
      return (await raw.next('suback')).granted;
    };
    expect(await ask('1', '2')).toEqual([0, 0]);
    expect(await ask('2', '3')).toEqual([0, 0]);
    expect(await ask('4')).toEqual([0x97]);
  });

  test('maxUserProperties', async () => {
    using raw = await RawMqtt.connected(device, port());
    const one = [0x26, 0, 1, 97, 0, 1, 98];
    raw.send(packet(0x30, topic, [14, ...one, ...one]));
    raw.sendPacket({ cmd: 'pingreq' });
    await raw.next('pingresp');
    raw.send(packet(0x30, topic, [21, ...one, ...one, ...one]));
    await raw.ended();
  });

  test('maxKeepAlive and maxSessionExpiry are announced', async () => {
    using raw = await RawMqtt.open(device, port());
    raw.send(
      connectBytes('d', 5, { keepalive: 3600, clean: false, properties: { sessionExpiryInterval: 4000 } }),
    );
    expect((await raw.next('connack')).properties).toMatchObject({
      serverKeepAlive: 90,
      sessionExpiryInterval: 60,
    });
    // So that it does not count for the next.
    raw.send(packet(0xe0, [0, 5, 0x11, 0, 0, 0, 0]));
    await raw.ended();
  });

  test('maxSessions', async () => {
    const keep = { clean: false, properties: { sessionExpiryInterval: 60 } };
    using first = await RawMqtt.connected(device, port(), 5, keep);
    using second = await RawMqtt.open(await house.api.enroll('plant', 'e'), port());
    second.send(connectBytes('e', 5, keep));
    expect(await second.ended()).toBe(0x97);
    first.send(packet(0xe0, [0, 5, 0x11, 0, 0, 0, 0]));
    await first.ended();
  });

  test('receiveMaximum: MQTT 5 was told, so more is an error', async () => {
    using raw = await RawMqtt.connected(device, port());
    raw.send(Buffer.concat(Array.from({ length: 6 }, (_, n) => packet(0x34, topic, [0, n + 1, 0], [49]))));
    expect(await raw.ended()).toBe(0x93);
  });

  test('receiveMaximum: MQTT 3.1.1 was not, so it waits and loses nothing', async () => {
    using raw = await RawMqtt.connected(device, port(), 4);
    raw.send(Buffer.concat(Array.from({ length: 40 }, (_, n) => packet(0x32, topic, [0, n + 1], [49]))));
    await eventually(() => expect(raw.packets.filter(({ cmd }) => cmd === 'puback')).toHaveLength(40));
  });

  test('maxWillSize', async () => {
    using raw = await RawMqtt.open(device, port());
    raw.send(connectBytes('d', 5, { will: { topic, payload: Buffer.alloc(11), qos: 0, retain: false } }));
    expect(await raw.ended()).toBe(0x87);
  });

  test('drainTimeout: a subscriber that does not read is closed, and its neighbour is not', async () => {
    const [slow, quick] = [await house.api.enroll('plant', 'slow'), await house.api.enroll('plant', 'quick')];
    for (const id of ['slow', 'quick'])
      await house.api.call('PATCH', `/v1/devices/${id}`, { role: 'backend' });
    using frozen = await RawMqtt.connected(slow, port());
    using reading = await RawMqtt.connected(quick, port());
    for (const subscriber of [frozen, reading]) {
      subscriber.send(packet(0x82, [0, 1, 0], 'devices/+/telemetry/#', [0]));
      await subscriber.next('suback');
    }
    frozen.socket.pause();
    using speaker = await RawMqtt.connected(device, port());
    // More than the kernels' buffers take, less than `maxQueuedSize`.
    const burst = Buffer.concat(Array(12_000).fill(packet(0x30, topic, [0], [...Buffer.alloc(900)])));
    speaker.send(burst);
    await eventually(
      async () => {
        const { body } = await house.api.call('GET', '/v1/devices/slow');
        expect(body.sessions).toEqual([]);
      },
      { timeoutMs: 25_000, pauseMs: 50 },
    );
    expect(reading.closed).toBe(false);
    expect(speaker.closed).toBe(false);
  });
});

describe('https', () => {
  let agent: Agent;
  beforeAll(() => {
    agent = new Agent({ connect: { ca: device.ca, cert: device.certificate, key: device.key } });
  });
  afterAll(() => agent.destroy());
  const post = async (path: string, body: string) => {
    const answer = await request(`${house.doors.https}${path}`, { dispatcher: agent, method: 'POST', body });
    return { status: answer.statusCode, body: (await answer.body.json()) as { code?: string } };
  };

  test('maxBodySize', async () => {
    expect(await post('/v1/telemetry', 'x'.repeat(100))).toMatchObject({ status: 202 });
    expect(await post('/v1/telemetry', 'x'.repeat(101))).toMatchObject({
      status: 413,
      body: { code: 'too-large' },
    });
  });

  test('maxBatchSize and maxBatchEvents', async () => {
    const line = '{"data":1}\n';
    expect(await post('/v1/telemetry:batch', line.repeat(3))).toMatchObject({ status: 202 });
    expect(await post('/v1/telemetry:batch', line.repeat(4))).toMatchObject({ status: 413 });
    expect(await post('/v1/telemetry:batch', `{"data":"${'x'.repeat(300)}"}`)).toMatchObject({ status: 413 });
  });

  test('a batch with a wrong line takes nothing, and names it', async () => {
    const answer = await post('/v1/telemetry:batch', '{"data":"good"}\n{"data":}\n');
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ line: 2 }] } });
    expect((await house.delivered()).map(({ data }) => data)).not.toContain('good');
  });

  test.each([
    ['headersTimeout', 'GET /v1/me HTTP/1.1\r\nHost: x\r\n', 408],
    ['requestTimeout', 'POST /v1/telemetry HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf', 408],
    ['keepAliveTimeout', 'GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n', 200],
  ])('%s', async (_what, bytes, status) => {
    const tls = await import('node:tls');
    const socket = tls.connect({
      port: house.port('https'),
      host: '127.0.0.1',
      ca: device.ca,
      cert: device.certificate,
      key: device.key,
    });
    let said = '';
    socket.on('data', (chunk) => {
      said += chunk;
    });
    socket.on('error', () => {});
    socket.write(bytes);
    await once(socket, 'close');
    expect(said).toMatch(new RegExp(`^HTTP/1.1 ${status}`));
  });
});

describe('registry', () => {
  test('maxBodySize and maxCsrSize', async () => {
    const big = await house.api.call('POST', '/v1/fleets', { id: 'x', role: 'y'.repeat(5000) });
    expect(big.status).toBe(413);
    const { body } = await house.api.call('POST', '/v1/fleets/plant/tokens', {});
    const csr = `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.alloc(400).toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    const authorization = `Bearer ${body.token}`;
    const answer = await house.api.call('POST', '/v1/enroll', { deviceId: 'z', csr }, { authorization });
    expect(answer).toMatchObject({ status: 413, body: { code: 'csr-too-large' } });
  });

  test('failedAuthRate: who guesses too often waits', async () => {
    await using other = await House.start({ config: 'registry: { failedAuthRate: 3 }' });
    const guess = () => other.api.call('GET', '/v1/fleets', undefined, { authorization: 'Bearer fga_wrong' });
    for (let n = 0; n < 3; n++) expect((await guess()).status).toBe(401);
    const answer = await guess();
    expect(answer).toMatchObject({ status: 429, body: { code: 'rate-limited' } });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  });

  test('enrollRate', async () => {
    await using other = await House.start({ config: 'registry: { enrollRate: 1, failedAuthRate: 1000 }' });
    const answers = await Promise.all(
      Array.from({ length: 6 }, () =>
        other.api.call('POST', '/v1/enroll', { deviceId: 'a', csr: 'x' }, { authorization: 'Bearer x' }),
      ),
    );
    expect(answers.filter(({ status }) => status === 429).length).toBeGreaterThanOrEqual(3);
  });
});

test('limits.journalSize: the journal keeps the newest admissions, and as many refusals', async () => {
  for (let n = 0; n < 8; n++) (await RawMqtt.connected(device, port()))[Symbol.dispose]();
  const { body } = await house.api.call('GET', '/v1/devices/d/decisions');
  const admitted = body.items.filter((each: { admitted: boolean }) => each.admitted);
  expect(admitted).toHaveLength(5);
  expect(body.items.length - admitted.length).toBeLessThanOrEqual(3);
});

describe('before TLS', () => {
  test('connections and connectionsPerAddress: newcomers are ended, who is in stays in', async () => {
    await using small = await House.start({ config: 'limits: { connections: 3, connectionsPerAddress: 3 }' });
    const d = await small.api.enroll('plant', 'd');
    const role = await small.api.call('PUT', '/v1/roles/many', {
      severalSessions: true,
      rules: [{ allow: 'publish', pattern: 'devices/x' }],
    });
    expect(role.status).toBe(200);
    await small.api.call('PATCH', '/v1/devices/d', { role: 'many' });
    const open = await Promise.all(
      [1, 2, 3].map((n) => RawMqtt.connected({ ...d, id: `d:${n}` }, small.port('mqtts'))),
    );
    const refused = connect(small.port('mqtts'), '127.0.0.1');
    refused.on('error', () => {});
    await once(refused, 'close');
    expect(open.filter(({ closed }) => closed)).toEqual([]);
    open.pop()![Symbol.dispose]();
    const again = await eventually(() => RawMqtt.connected({ ...d, id: 'd:4' }, small.port('mqtts')));
    for (const raw of [...open, again]) raw[Symbol.dispose]();
    const metrics = await (await fetch(`${small.doors.ops}/metrics`)).text();
    expect(metrics).toMatch(/connects_total\{[^}]*reason="connection-limit"[^}]*\} [1-9]/);
  });

  test('connectRate and connectRatePerAddress: a burst of twice the rate passes, the rest is ended', async () => {
    await using small = await House.start({
      config: 'limits: { connectRate: 5, connectRatePerAddress: 5 }',
    });
    const ends = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const socket = connect(small.port('mqtts'), '127.0.0.1');
        socket.on('error', () => {});
        const ended = await Promise.race([
          once(socket, 'close').then(() => true),
          new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 500)),
        ]);
        socket.destroy();
        return ended;
      }),
    );
    expect(ends.filter(Boolean).length).toBeGreaterThanOrEqual(15);
    expect(ends.filter((ended) => !ended).length).toBeGreaterThanOrEqual(8);
  });
});
