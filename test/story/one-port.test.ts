/** Every way in at one port: HTTP, MQTT by ALPN, MQTT over WebSocket; the same answer at each. */
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { systemClock } from '#common/clock.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { reasonOf } from '../harness/house-devices.ts';
import { connectDevice, mqttOptions } from '../harness/mqtt-device.ts';
import { connectBytes, packet, RawMqtt } from '../harness/raw-mqtt.ts';
import { clientFrame, openingOf, RawWebSocket } from '../harness/web-socket.ts';

let house: House;
let pump: DeviceIdentity;
const https = () => house.port('https');
const text = (value: string) => Buffer.from(value);

beforeAll(async () => {
  house = await House.start({
    config: `
mqtt: { connectTimeout: 2s }
https: { origins: ["https://app.example"], headersTimeout: 2s, keepAliveTimeout: 1s }
`,
  });
  pump = await house.api.enroll('plant', 'pump');
});
afterAll(() => house[Symbol.asyncDispose]());

const publish = (topic: string, body: string, id = 7) =>
  packet(0x32, topic, [id >> 8, id & 255], [0], [...text(body)]);
const wss = (identity: DeviceIdentity, version: 4 | 5) =>
  mqttOptions(identity, https(), { protocol: 'wss', path: '/mqtt', protocolVersion: version });
const webSocketConnect = (version: 4 | 5) => {
  const { host, port, path, ...rest } = wss(pump, version);
  return mqtt.connect(`wss://${host}:${port}${path}`, rest);
};

describe('what a client says it speaks', () => {
  test.each(['mqtt', 'x-amzn-mqtt-ca'])('MQTT by ALPN %s, at both doors', async (name) => {
    for (const port of [https(), house.port('mqtts')]) {
      using raw = await RawMqtt.open(pump, port, 5, { ALPNProtocols: [name] });
      expect(raw.socket.alpnProtocol).toBe(name);
      raw.send(connectBytes('pump', 5));
      expect((await raw.next('connack')).reasonCode).toBe(0);
    }
  });

  test.each([{}, { ALPNProtocols: ['http/1.1'] }, { ALPNProtocols: ['h2', 'http/1.1'] }])(
    'HTTP by %j',
    async (options) => {
      using raw = await RawWebSocket.shaken(pump, https(), options);
      raw.socket.write('GET /v1/me HTTP/1.1\r\nhost: localhost\r\n\r\n');
      await eventually(() => expect(raw.status).toBe(200));
    },
  );

  test('a client that offers nothing we speak gets no_application_protocol (RFC 7301, section 3.2)', async () => {
    for (const port of [https(), house.port('mqtts')])
      await expect(RawMqtt.open(pump, port, 5, { ALPNProtocols: ['imap'] })).rejects.toThrow(
        /no application protocol/i,
      );
  });

  test('a session that comes by the other door takes the older one over', async () => {
    using first = await RawMqtt.connected(pump, house.port('mqtts'));
    using second = await RawMqtt.open(pump, https(), 5, { ALPNProtocols: ['mqtt'] });
    second.send(connectBytes('pump', 5));
    expect((await second.next('connack')).reasonCode).toBe(0);
    expect(await first.ended()).toBe(0x8e);
    using third = await RawWebSocket.open(pump, https());
    third.send(connectBytes('pump', 5));
    expect((await third.next('connack')).reasonCode).toBe(0);
    expect(await second.ended()).toBe(0x8e);
  });
});

describe('MQTT over WebSocket', () => {
  test.each([4, 5] as const)(
    'MQTT.js, version %s, with its certificate: telemetry arrives',
    async (version) => {
      const client = webSocketConnect(version);
      await new Promise<void>((resolve, reject) => {
        client.once('connect', () => resolve());
        client.once('error', reject);
      });
      await client.subscribeAsync('devices/pump/commands/#', { qos: 1 });
      await client.publishAsync('devices/pump/telemetry/wss', `"by ${version}"`, { qos: 1 });
      // Larger than a frame of any default limit, and than what WebSocket writes with two bytes of length.
      const large = JSON.stringify('x'.repeat(200_000));
      await client.publishAsync('devices/pump/telemetry/wss', large, { qos: 2 });
      await client.endAsync();
      await eventually(async () => {
        const events = (await house.delivered()).filter(({ subject }) => subject === 'wss');
        expect(events.map(({ data }) => data)).toEqual(
          expect.arrayContaining([`by ${version}`, 'x'.repeat(200_000)]),
        );
      });
    },
  );

  test('a message of many packets, longer than the longest packet, is taken [MQTT-6.0.0-2]', async () => {
    using raw = await RawWebSocket.open(pump, https());
    const count = 400;
    const packets = [...Array(count).keys()].map((id) =>
      publish('devices/pump/telemetry/many', `"${'y'.repeat(2_000)}"`, id + 1),
    );
    raw.send(Buffer.concat([connectBytes('pump', 5), ...packets]));
    await eventually(() => expect(raw.packets.filter(({ cmd }) => cmd === 'puback')).toHaveLength(count));
  });

  test('packets cut anywhere over frames, and frames over records, are heard as they are [MQTT-6.0.0-2]', async () => {
    using raw = await RawWebSocket.open(pump, https());
    const said = Buffer.concat([connectBytes('pump', 5), publish('devices/pump/telemetry/cut', '"cut"')]);
    for (const byte of clientFrame(said.subarray(0, 40))) raw.socket.write(Buffer.from([byte]));
    raw.send(said.subarray(40, 41), 0x02);
    raw.send(text('there?'), 0x89);
    raw.send(said.subarray(41), 0x80);
    expect((await raw.next('puback')).reasonCode ?? 0).toBe(0);
    expect(raw.pongs).toEqual(['there?']);
  });

  test('bytes that came behind the opening are not lost', async () => {
    using raw = await RawWebSocket.shaken(pump, https());
    raw.socket.write(Buffer.concat([text(openingOf()), clientFrame(connectBytes('pump', 5))]));
    expect((await raw.next('connack')).reasonCode).toBe(0);
  });

  test('a connection that has served requests may become a WebSocket, and no longer counts as HTTP', async () => {
    using raw = await RawWebSocket.shaken(pump, https());
    raw.socket.write('GET /v1/me HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await eventually(() => expect(raw.status).toBe(200));
    raw.forget();
    raw.socket.write(openingOf());
    await eventually(() => expect(raw.status).toBe(101));
    raw.send(connectBytes('pump', 5));
    await raw.next('connack');
    const { body } = await house.api.call('GET', '/v1/devices/pump');
    expect(body.sessions.map(({ protocol }: { protocol: string }) => protocol)).toEqual(['mqtt5']);
    // Nor does the patience of HTTP end it.
    await systemClock.sleep(2_500);
    raw.send(text('still?'), 0x89);
    await eventually(() => expect(raw.pongs).toEqual(['still?']));
  });

  test('a client that says goodbye in WebSocket alone is answered, and its Will leaves', async () => {
    using raw = await RawWebSocket.open(pump, https());
    const will = {
      topic: 'devices/pump/telemetry/will',
      payload: text('"gone"'),
      qos: 1,
      retain: false,
    } as const;
    raw.send(connectBytes('pump', 5, { will }));
    await raw.next('connack');
    raw.send(Buffer.from([0x03, 0xe8]), 0x88);
    expect(await raw.ended()).toBe(1000);
    await eventually(async () => expect((await house.delivered()).map(({ data }) => data)).toContain('gone'));
  });

  test('the library of others opens, speaks and closes', async () => {
    const { key, certificate: cert, ca } = pump;
    const socket = new WebSocket(`wss://127.0.0.1:${https()}/mqtt`, 'mqtt', { key, cert, ca });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    expect(socket.protocol).toBe('mqtt');
    expect(socket.extensions).toBe('');
    socket.send(connectBytes('pump', 4));
    const connack = await new Promise<Buffer>((resolve) => socket.once('message', resolve));
    expect([...connack]).toEqual([0x20, 2, 0, 0]);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.send(Buffer.from([0xe0, 0]));
    expect(await closed).toBe(1000);
  });
});

describe('who may open a WebSocket', () => {
  test.each<[string, Record<string, string | null>, number]>([
    ['without a subprotocol [MQTT-6.0.0-3]', { 'sec-websocket-protocol': null }, 400],
    ['of another subprotocol', { 'sec-websocket-protocol': 'chat' }, 400],
    ['of another version', { 'sec-websocket-version': '8' }, 400],
    ['with a broken key', { 'sec-websocket-key': 'short' }, 400],
    ['with a body', { 'content-length': '4' }, 400],
    ['with a body in chunks', { 'transfer-encoding': 'chunked' }, 400],
    ['for something else', { upgrade: 'h2c' }, 400],
    ['by a page of somebody else', { origin: 'https://evil.example' }, 403],
    ['by a page without an origin', { origin: 'null' }, 403],
    ['by a page of a list', { origin: 'https://app.example' }, 101],
    ['by a page of this host', { origin: 'https://localhost' }, 101],
    [
      'that offers more',
      { 'sec-websocket-protocol': 'mqttv3.1, mqtt', 'sec-websocket-extensions': 'permessage-deflate' },
      101,
    ],
  ])('an opening %s', async (_what, headers, status) => {
    using raw = await RawWebSocket.open(pump, https(), { headers });
    expect(raw.status).toBe(status);
    expect(raw.answer).not.toMatch(/permessage-deflate/);
  });

  test('an opening behind a request that is not answered yet is not heard', async () => {
    using raw = await RawWebSocket.shaken(pump, https());
    const body = 'not whole';
    raw.socket.write(
      `POST /v1/telemetry HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}${openingOf()}`,
    );
    await raw.ended();
    expect(raw.answer).not.toContain('101 Switching');
    using again = await RawWebSocket.open(pump, https());
    expect(again.status).toBe(101);
  });

  test('nobody is there for a WebSocket elsewhere', async () => {
    using raw = await RawWebSocket.open(pump, https(), { path: '/v1/me' });
    // The request is answered as if it had not asked (RFC 9110, section 7.8).
    expect(raw.status).toBe(200);
  });

  test('a certificate that is refused is told why, in a problem document, and so is everybody else', async () => {
    const gone = await house.api.enroll('plant', 'gone-before');
    await house.api.call('POST', '/v1/devices/gone-before/revoke');
    using raw = await RawWebSocket.open(gone, https());
    expect(raw.status).toBe(403);
    expect(raw.answer).toContain('"code":"certificate-revoked"');
    expect(await reasonOf(house, gone)).toBe('certificate-revoked');
    using nobody = await RawWebSocket.open({ ca: pump.ca }, https());
    expect(nobody.status).toBe(401);
    expect(nobody.answer).toContain('"code":"no-certificate"');
  });

  test('a CONNECT with the name of another device is refused in its own words', async () => {
    using raw = await RawWebSocket.open(pump, https());
    raw.send(connectBytes('somebody', 5));
    expect((await raw.next('connack')).reasonCode).toBe(0x85);
    expect(await raw.ended()).toBe(1008);
    expect(raw.closeReason).toBe('client-id-mismatch');
  });
});

describe('revoked while connected', () => {
  const cut = async (id: string, open: (device: DeviceIdentity) => Promise<() => Promise<unknown>>) => {
    const device = await house.api.enroll('plant', id);
    const ended = await open(device);
    const { body } = await house.api.call('POST', `/v1/devices/${id}/revoke`);
    expect(body.sessions).toHaveLength(1);
    expect(body.sessions[0]).toMatchObject({ protocol: 'mqtt5' });
    expect(body.sessions[0].address).toMatch(/^127\.0\.0\.1:\d+$/);
    return ended();
  };

  test('by ALPN: DISCONNECT says so', async () => {
    const code = await cut('cut-alpn', async (device) => {
      const raw = await RawMqtt.open(device, https(), 5, { ALPNProtocols: ['mqtt'] });
      raw.send(connectBytes(device.id, 5));
      await raw.next('connack');
      return () => raw.ended();
    });
    expect(code).toBe(0x98);
  });

  test('by WebSocket: DISCONNECT and the Close say so', async () => {
    const words = await cut('cut-wss', async (device) => {
      const raw = await RawWebSocket.open(device, https());
      raw.send(connectBytes(device.id, 5));
      await raw.next('connack');
      return async () => [await raw.ended(), raw.closeReason, (await raw.next('disconnect')).reasonCode];
    });
    expect(words).toEqual([1008, 'certificate-revoked', 0x98]);
  });

  test('after the opening, before CONNECT: refused then', async () => {
    const late = await house.api.enroll('plant', 'cut-late');
    using raw = await RawWebSocket.open(late, https());
    await house.api.call('POST', '/v1/devices/cut-late/revoke');
    raw.send(connectBytes('cut-late', 5));
    expect((await raw.next('connack')).reasonCode).toBe(0x8a);
  });
});

describe('attacks on frames', () => {
  const connected = async () => {
    const raw = await RawWebSocket.open(pump, https());
    raw.send(connectBytes('pump', 5));
    await raw.next('connack');
    return raw;
  };

  test.each<[string, Buffer, number]>([
    ['a text frame [MQTT-6.0.0-1]', clientFrame(text('hello'), 0x81), 1003],
    ['a frame without a mask', Buffer.from([0x82, 2, 0xc0, 0]), 1002],
    ['a continuation of nothing', clientFrame(text('x'), 0x80), 1002],
    [
      'a length with its first bit set',
      Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
      1002,
    ],
    [
      'a packet whose announced length is too large',
      clientFrame(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])),
      1009,
    ],
    ['a packet with five bytes of length', clientFrame(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 1])), 1002],
  ])('%s ends the connection', async (_what, bytes, code) => {
    using raw = await connected();
    raw.socket.write(bytes);
    expect(await raw.ended()).toBe(code);
  });

  test('a CONNECT that announces more than may be is refused before it is there, whatever its frame says', async () => {
    using raw = await RawWebSocket.open(pump, https());
    raw.send(Buffer.from([0x10, 0xff, 0xff, 0x7f]));
    expect(await raw.ended()).toBe(1009);
  });

  test('a packet that says it is longer than its frame waits for the next one, and no other device waits with it', async () => {
    using raw = await connected();
    const whole = publish('devices/pump/telemetry/beyond', '"beyond"', 9);
    raw.send(whole.subarray(0, 10));
    raw.send(whole.subarray(10));
    expect((await raw.next('puback')).messageId).toBe(9);
  });

  test('empty frames without end keep nobody in: only packets count for keep-alive', async () => {
    using raw = await RawWebSocket.open(pump, https());
    const stop = setInterval(() => raw.send(Buffer.alloc(0)), 200);
    try {
      // No CONNECT in two seconds.
      await raw.ended();
      expect(await reasonOf(house, pump)).toBe('connect-timeout');
    } finally {
      clearInterval(stop);
    }
  });

  test('an opening that comes drop by drop is ended by the deadline of headers', async () => {
    using raw = await RawWebSocket.shaken(pump, https());
    raw.socket.write(openingOf().slice(0, 40));
    await raw.ended();
    expect(raw.answer).toMatch(/^HTTP\/1\.1 408/);
  });
});

test('a gateway that shuts down tells those too who came in by the HTTPS door', async () => {
  const other = await House.start();
  const device = await other.api.enroll('plant', 'last');
  using raw = await RawWebSocket.open(device, other.port('https'));
  raw.send(connectBytes('last', 5));
  await raw.next('connack');
  const { closed } = await connectDevice(await other.api.enroll('plant', 'last-too'), other.port('https'), {
    protocolVersion: 5,
    ALPNProtocols: ['mqtt'],
  });
  await other[Symbol.asyncDispose]();
  expect(await raw.ended()).toBe(1001);
  expect((await raw.next('disconnect')).reasonCode).toBe(0x8b);
  expect(await closed).toBe(0x8b);
});
