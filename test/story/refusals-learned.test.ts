/**
 * Whatever a device is refused after CONNECT, it can learn that and why: in MQTT 5 by a reason code and a reason string,
 * in 3.1.1 by a code where there is one, and by its error topic.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectBytes, packet, RawMqtt } from '../harness/raw-mqtt.ts';

let house: House;
beforeAll(async () => {
  house = await House.start({
    config: 'mqtt: { maxPacketSize: 16KiB, receiveMaximum: 3, maxSubscriptions: 3, maxKeepAlive: 1s }',
  });
});
afterAll(() => house[Symbol.asyncDispose]());

const port = () => house.port('mqtts');
let devices = 0;
const fresh = () => house.api.enroll('plant', `teller-${++devices}`);

interface Refusal {
  readonly code: number;
  readonly reason: string | undefined;
}

/** What a device does, the word for why it may not, and which packet of MQTT 5 says so. */
const refusals: [
  what: string,
  kind: string,
  answer: 'puback' | 'pubrec' | 'suback' | 'disconnect' | 'error topic',
  bytes: (id: string, version: 4 | 5) => Buffer,
][] = [
  [
    'publishes where it may not',
    'topic-not-allowed',
    'puback',
    (_id, v) => packet(0x32, 'other', [0, 9], none(v)),
  ],
  [
    'publishes there with QoS 2',
    'topic-not-allowed',
    'pubrec',
    (_id, v) => packet(0x34, 'other', [0, 9], none(v)),
  ],
  [
    'publishes there with QoS 0',
    'topic-not-allowed',
    'error topic',
    (_id, v) => packet(0x30, 'other', none(v)),
  ],
  [
    'publishes an event with QoS 0',
    'topic-not-allowed',
    'error topic',
    (id, v) => packet(0x30, `devices/${id}/events`, none(v)),
  ],
  [
    'publishes to a wildcard',
    'topic-invalid',
    'disconnect',
    (id, v) => packet(0x30, `devices/${id}/telemetry/#`, none(v)),
  ],
  ['says too much at once', 'packet-too-large', 'disconnect', () => Buffer.from([0x30, 0xff, 0xff, 0x03])],
  ['says what is no MQTT', 'malformed-packet', 'disconnect', () => packet(0xc1)],
  ['breaks the protocol', 'protocol-error', 'disconnect', (id, v) => connectBytes(id, v)],
  ['says nothing any more', 'keep-alive-timeout', 'disconnect', () => Buffer.alloc(0)],
];

const none = (version: 4 | 5): number[] => (version === 5 ? [0] : []);

async function connected(device: DeviceIdentity, version: 4 | 5): Promise<RawMqtt> {
  const raw = await RawMqtt.connected(device, port(), version);
  raw.send(packet(0x82, [0, 1], none(version), `devices/${device.id}/errors`, [0]));
  await raw.next('suback');
  return raw;
}

/** The document on the error topic. */
async function told(raw: RawMqtt) {
  const { topic, payload, qos } = await raw.next('publish');
  expect([topic, qos]).toEqual([expect.stringMatching(/^devices\/teller-\d+\/errors$/), 0]);
  return JSON.parse(String(payload)) as Record<string, unknown>;
}

test.each(refusals)('MQTT 5: a device that %s is told %s by %s', async (_what, kind, answer, bytes) => {
  const device = await fresh();
  using raw = await connected(device, 5);
  raw.send(bytes(device.id, 5));
  if (answer === 'error topic') return expect((await told(raw)).code).toBe(kind);
  const { reasonCode, properties } = await raw.next(answer);
  expect(reasonCode).toBeGreaterThanOrEqual(0x80);
  expect(properties.reasonString).toMatch(/^[A-Z].*\.$/);
});

test.each(refusals)(
  'MQTT 3.1.1: a device that %s is told %s on its error topic',
  async (_what, kind, answer, bytes) => {
    const device = await fresh();
    using raw = await connected(device, 4);
    raw.send(bytes(device.id, 4));
    const before = Date.now();
    const document = await told(raw);
    expect(document).toEqual({
      code: kind,
      message: expect.stringMatching(/^[A-Z].*\.$/),
      correlation: answer === 'puback' || answer === 'pubrec' ? 9 : null,
      ...(kind === 'topic-not-allowed' && { topic: expect.any(String) }),
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
    expect(Math.abs(Date.parse(document.time as string) - before)).toBeLessThan(60_000);
    await raw.ended();
  },
);

test('MQTT 5: a payload that is said to be text and is not gets 0x99', async () => {
  const device = await fresh();
  using raw = await connected(device, 5);
  raw.send(packet(0x32, `devices/${device.id}/telemetry`, [0, 4, 2, 1, 1, 0xc3, 0x28]));
  expect((await raw.next('puback')).reasonCode).toBe(0x99);
  raw.send(packet(0x32, `devices/${device.id}/telemetry`, [0, 5, 2, 1, 1, 0xc3, 0xbc]));
  expect((await raw.next('puback')).reasonCode ?? 0).toBe(0);
});

test.each([4, 5] as const)(
  'MQTT %i: a filter that is refused says so in its SUBACK, and why',
  async (version) => {
    const device = await fresh();
    using raw = await connected(device, version);
    raw.send(
      packet(0x82, [0, 7], none(version), 'devices/+/telemetry', [0], `devices/${device.id}/commands/#`, [1]),
    );
    const { granted, properties } = await raw.next('suback');
    expect(granted).toEqual([version === 5 ? 0x87 : 0x80, 1]);
    const why =
      version === 5
        ? { message: properties.reasonString, code: 'topic-not-allowed', correlation: 7 }
        : await told(raw);
    expect(why).toMatchObject({
      code: 'topic-not-allowed',
      correlation: 7,
      message: expect.stringContaining('devices/+/telemetry'),
    });
  },
);

test.each([4, 5] as const)(
  'MQTT %i: one that connects anew is told on the older connection',
  async (version) => {
    const device = await fresh();
    using older = await connected(device, version);
    using newer = await RawMqtt.connected(device, port(), version);
    if (version === 4) expect((await told(older)).code).toBe('taken-over');
    expect(await older.ended()).toBe(version === 5 ? 0x8e : null);
    expect(newer.closed).toBe(false);
  },
);

test.each([4, 5] as const)('MQTT %i: one that is revoked is told before it is cut off', async (version) => {
  const device = await fresh();
  using raw = await connected(device, version);
  await house.api.call('POST', `/v1/devices/${device.id}/revoke`);
  if (version === 4) expect((await told(raw)).code).toBe('certificate-revoked');
  await eventually(() => expect(raw.closed).toBe(true));
  const last: Refusal = { code: (await raw.ended()) ?? 0, reason: undefined };
  expect(last.code).toBe(version === 5 ? 0x98 : 0);
});

test.each([4, 5] as const)('MQTT %i: a subscription too many says so', async (version) => {
  const device = await fresh();
  using raw = await connected(device, version);
  const filters = ['a', 'b', 'c'].flatMap((name) => [`devices/${device.id}/commands/${name}/#`, [0]]);
  raw.send(packet(0x82, [0, 7], none(version), ...filters));
  const { granted, properties } = await raw.next('suback');
  expect(granted).toEqual(Array(3).fill(version === 5 ? 0x97 : 0x80));
  const why = version === 5 ? properties.reasonString : (await told(raw)).message;
  expect(why).toBe('A session has at most 3 subscriptions here.');
});

test('at the end of the house everybody is told', async () => {
  const [old, current] = [await fresh(), await fresh()];
  using four = await connected(old, 4);
  using five = await connected(current, 5);
  await house.kill('SIGTERM');
  expect((await told(four)).code).toBe('shutting-down');
  expect(await five.ended()).toBe(0x8b);
});
