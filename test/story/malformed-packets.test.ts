/** Attack 23 and its kin: bytes that are no MQTT end that connection with the reason, and nobody else's. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { House } from '../harness/house.ts';
import { connectBytes, packet, RawMqtt } from '../harness/raw-mqtt.ts';

let house: House;
let device: DeviceIdentity;
let bystander: RawMqtt;
beforeAll(async () => {
  house = await House.start();
  device = await house.api.enroll('plant', 'mallory');
  bystander = await RawMqtt.connected(await house.api.enroll('plant', 'bystander'), house.port('mqtts'));
});
afterAll(async () => {
  bystander[Symbol.dispose]();
  await house[Symbol.asyncDispose]();
});
afterEach(() => expect(bystander.closed).toBe(false));

const malformed = 0x81;
const protocol = 0x82;
const topicInvalid = 0x90;
const topicAlias = 0x94;
const own = 'devices/mallory/telemetry';
const nothing: number[] = [];

const afterConnect: [what: string, bytes: Buffer, code: number][] = [
  ['PUBLISH with QoS 3 [MQTT-3.3.1-4]', packet(0x36, own, [0, 1, 0]), malformed],
  ['PUBLISH with DUP on QoS 0 [MQTT-3.3.1-2]', packet(0x38, own, [0]), malformed],
  ['PUBLISH with an empty topic and no alias (CVE-2021-34432)', packet(0x30, '', [0]), topicInvalid],
  ['PUBLISH to a wildcard [MQTT-3.3.2-2]', packet(0x30, 'devices/+/telemetry', [0]), topicInvalid],
  ['PUBLISH with a NUL in its topic [MQTT-1.5.4-2]', packet(0x30, 'devices/\0/telemetry', [0]), malformed],
  ['PUBLISH with U+D800 in its topic [MQTT-1.5.4-1]', packet(0x30, [0, 3, 0xed, 0xa0, 0x80], [0]), malformed],
  ['PUBLISH with packet identifier 0 [MQTT-2.2.1-3]', packet(0x32, own, [0, 0, 0]), protocol],
  ['PUBLISH whose topic runs past its end', packet(0x30, [0xff, 0xff, 0x61]), malformed],
  ['PUBLISH with topic alias 0 [MQTT-3.3.2-8]', packet(0x30, own, [3, 0x23, 0, 0]), topicAlias],
  ['PUBLISH with an alias though none are allowed', packet(0x30, own, [3, 0x23, 0, 1]), topicAlias],
  ['PUBLISH with a property twice', packet(0x30, own, [4, 0x01, 1, 0x01, 1]), protocol],
  ['PUBLISH with a property of CONNECT', packet(0x30, own, [5, 0x11, 0, 0, 0, 1]), protocol],
  ['PUBLISH whose properties run past its end', packet(0x30, own, [0x7f, 0x01]), malformed],
  ['a length of five bytes (CVE-2026-21888)', Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), malformed],
  ['PUBACK of one byte', packet(0x40, [0]), malformed],
  ['PUBACK with bytes after its end', packet(0x40, [0, 1, 0, 0, 9]), malformed],
  ['PUBACK with packet identifier 0', packet(0x40, [0, 0]), protocol],
  ['PUBREL with wrong flags [MQTT-3.6.1-1]', packet(0x60, [0, 1]), malformed],
  ['SUBSCRIBE with wrong flags [MQTT-3.8.1-1]', packet(0x80, [0, 1, 0], 'a', [0]), malformed],
  ['SUBSCRIBE without a filter [MQTT-3.8.3-2]', packet(0x82, [0, 1, 0]), protocol],
  ['SUBSCRIBE with reserved options [MQTT-3.8.3-5]', packet(0x82, [0, 1, 0], own, [0xc0]), malformed],
  ['SUBSCRIBE to a#', packet(0x82, [0, 1, 0], 'a#', [0]), topicInvalid],
  ['SUBSCRIBE to #/a', packet(0x82, [0, 1, 0], '#/a', [0]), topicInvalid],
  ['SUBSCRIBE to a+/b', packet(0x82, [0, 1, 0], 'a+/b', [0]), topicInvalid],
  ['UNSUBSCRIBE without a filter [MQTT-3.10.3-2]', packet(0xa2, [0, 1, 0]), protocol],
  ['PINGREQ with a body', packet(0xc0, [0]), malformed],
  ['a second CONNECT [MQTT-3.1.0-2]', connectBytes('mallory', 5), protocol],
  ['CONNACK, which servers send (CVE-2021-28166)', packet(0x20, [0, 0, 0]), malformed],
  ['SUBACK, which servers send', packet(0x90, [0, 1, 0, 0]), malformed],
  ['UNSUBACK, which servers send', packet(0xb0, [0, 1, 0, 0]), malformed],
  ['PINGRESP, which servers send', packet(0xd0), malformed],
  ['AUTH without an authentication method', packet(0xf0), protocol],
  ['packet type 0', packet(0x00), malformed],
  ['DISCONNECT with bytes after its end', packet(0xe0, [0, 0, 7]), malformed],
];

test.each(afterConnect)('after CONNECT: %s', async (_what, bytes, code) => {
  using mallory = await RawMqtt.connected(device, house.port('mqtts'));
  mallory.send(bytes);
  expect(await mallory.ended()).toBe(code);
});

test.each(
  afterConnect.filter(([what]) => /QoS 3|packet identifier 0|second CONNECT|five bytes|wildcard/.test(what)),
)('MQTT 3.1.1, which has no word for it: %s', async (_what, bytes) => {
  using mallory = await RawMqtt.connected(device, house.port('mqtts'), 4);
  // Without the empty property block of MQTT 5 the same bytes are as wrong.
  mallory.send(bytes);
  expect(await mallory.ended()).toBe(null);
});

const connect = (...rest: (number | number[] | string)[]) => packet(0x10, 'MQTT', ...rest);
const beforeConnect: [what: string, bytes: Buffer, code: number | null][] = [
  ['PUBLISH first [MQTT-3.1.0-1]', packet(0x30, own, [0]), null],
  ['HTTP first', Buffer.from('GET / HTTP/1.1\r\n\r\n'), null],
  [
    'a protocol name that is not MQTT [MQTT-3.1.2-1]',
    packet(0x10, 'MQXX', [5, 2, 0, 60, 0], 'mallory'),
    0x84,
  ],
  ['protocol version 6 [MQTT-3.1.2-2]', connect([6, 2, 0, 60, 0], 'mallory'), 1],
  ['the reserved flag [MQTT-3.1.2-3]', connect([5, 3, 0, 60, 0], 'mallory'), malformed],
  ['a Will with QoS 3', connect([5, 0x1e, 0, 60, 0], 'mallory', [0], own, 'x'), malformed],
  ['Will QoS without a Will', connect([5, 0x0a, 0, 60, 0], 'mallory'), malformed],
  [
    'a password flag without user name in 3.1.1 [MQTT-3.1.2-22]',
    connect([4, 0x42, 0, 60], 'mallory', 'x'),
    null,
  ],
  ['a user name that is announced and missing', connect([5, 0x82, 0, 60, 0], 'mallory'), malformed],
  ['bytes after its end', connect([5, 2, 0, 60, 0], 'mallory', [1, 2, 3]), malformed],
  ['a NUL in the client id', connect([5, 2, 0, 60, 0], 'mal\0ory'), malformed],
  [
    'a Will to a wildcard',
    connect([5, 0x06, 0, 60, 0], 'mallory', [0], 'devices/+/telemetry', 'x'),
    topicInvalid,
  ],
  ['a property twice', connect([5, 2, 0, 60, 10, 0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1], 'mallory'), protocol],
  ['Receive Maximum 0', connect([5, 2, 0, 60, 3, 0x21, 0, 0], 'mallory'), protocol],
  [
    'bad Will properties (CVE-2023-3592)',
    connect([5, 0x06, 0, 60, 0], 'mallory', [2, 0x7e, 0], own, 'x'),
    protocol,
  ],
  ['nothing but a header', packet(0x10, nothing), null],
];

test.each(beforeConnect)('as CONNECT: %s', async (_what, bytes, code) => {
  using mallory = await RawMqtt.open(device, house.port('mqtts'), bytes[8] === 4 || code === 1 ? 4 : 5);
  mallory.send(bytes);
  expect(await mallory.ended()).toBe(code);
});
