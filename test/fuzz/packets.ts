/** Every reader of packets, on noise and on packets that were broken: a value or a Fault, and never a byte from outside. */
import fc from 'fast-check';
import { expect } from 'vitest';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import { deviceRole } from '#common/contract/role-defaults.ts';
import { Fault } from '#common/fault.ts';
import { rightsOf } from '../../gateway/admission/role.ts';
import { readAcknowledgement } from '../../gateway/mqtt/acknowledgement.ts';
import { readConnect, versionOf } from '../../gateway/mqtt/connect-packet.ts';
import { type Frame, scanFrame, whole } from '../../gateway/mqtt/frame.ts';
import { Lane, type LaneParts, type Publish } from '../../gateway/mqtt/lane.ts';
import { PacketReader } from '../../gateway/mqtt/packet-reader.ts';
import { allowedProperties, readProperties } from '../../gateway/mqtt/properties.ts';
import { readSubscribe, readUnsubscribe } from '../../gateway/mqtt/subscribe-packet.ts';
import type { MqttSettings } from '../../gateway/settings.ts';
import { bytesOf, connects, mutate, mutations, packets, type Version, versions } from './mqtt-packets.ts';
import { target } from './target.ts';

export const settings = {
  maxConnectSize: 4096,
  maxPacketSize: 4096,
  maxTopicLength: 512,
  maxTopicLevels: 16,
  maxUserProperties: 8,
  maxSubscriptions: 8,
  receiveMaximum: 20,
} as MqttSettings;

/** What a packet that is wrong may be called. */
const kinds = [
  'malformed-packet',
  'protocol-error',
  'protocol-version',
  'topic-invalid',
  'topic-not-allowed',
  'receive-maximum',
  'message-rate',
  'quota-exceeded',
  'packet-too-large',
];

type Outcome = { readonly value: unknown } | { readonly fault: string; readonly message: string };

function outcome(read: () => unknown): Outcome {
  try {
    return { value: structuredClone(read()) };
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    expect(kinds).toContain(thrown.kind);
    return { fault: thrown.kind, message: thrown.message };
  }
}

/** Reads a body that lies between other bytes, twice: what lies around it makes no difference. */
function guarded(body: Buffer, read: (data: Buffer, start: number, end: number) => unknown): Outcome {
  const [one, other] = [0x00, 0xff].map((guard) => {
    const data = Buffer.concat([Buffer.alloc(9, guard), body, Buffer.alloc(70_000, guard)]);
    const start = 9;
    return outcome(() => read(data, start, start + body.length));
  });
  expect(one).toEqual(other);
  return one!;
}

const readers: Readonly<
  Record<string, (data: Buffer, start: number, end: number, version: Version) => unknown>
> = {
  connect: (data, start, end) => readConnect(data, start, start, end, settings),
  version: (data, start, end) => versionOf(data, start, end),
  subscribe: (data, start, end, version) => readSubscribe(data, start, end, version, settings),
  unsubscribe: (data, start, end, version) => readUnsubscribe(data, start, end, version, settings),
  acknowledgement: (data, start, end, version) => readAcknowledgement(data, start, end, version, 8),
  ...Object.fromEntries(
    (Object.keys(allowedProperties) as (keyof typeof allowedProperties)[]).map((packet) => [
      `properties of ${packet}`,
      (data: Buffer, start: number, end: number) =>
        readProperties(new PacketReader(data, start, end), packet, 8),
    ]),
  ),
  ...Object.fromEntries(
    [0x30, 0x31, 0x32, 0x34, 0x3d].map((head) => [
      `PUBLISH ${head.toString(16)}`,
      (data: Buffer, start: number, end: number, version: Version) =>
        publishOf(head, data, start, end, version),
    ]),
  ),
};
const names = Object.keys(readers);

/** A PUBLISH as the lane reads it, for a device with the rights of the default role. */
function publishOf(head: number, data: Buffer, start: number, end: number, version: Version): unknown {
  const lane = new Lane({
    host: { version },
    meters: { paceOf: () => null },
    device: 'pump-1',
    rights: rightsOf(deviceRole, { device: 'pump-1', fleet: 'plant', attributes: {} } as DirectoryEntry),
    settings,
  } as unknown as LaneParts);
  const publish = {} as Publish;
  lane.read(head, data, start, end, publish);
  return publish;
}

/** Reads a packet by its first byte, as a session does that knows its types. */
function byHead(head: number, data: Buffer, start: number, end: number, version: Version): unknown {
  switch (head >> 4) {
    case 3:
      return publishOf(head, data, start, end, version);
    case 8:
      return readSubscribe(data, start, end, version, settings);
    case 10:
      return readUnsubscribe(data, start, end, version, settings);
    case 14:
      return readProperties(new PacketReader(data, start, end), 'disconnect', 8);
    default:
      return readAcknowledgement(data, start, end, version, 8);
  }
}

const frame: Frame = { head: 0, start: 0, end: 0 };
/** Body of a packet, and its first byte. */
function opened(bytes: Buffer): { head: number; body: Buffer } {
  if (scanFrame(bytes, 0, Number.POSITIVE_INFINITY, frame) !== whole) throw new Error('it is no packet');
  return { head: frame.head, body: bytes.subarray(frame.start, frame.end) };
}

export const noisyPackets = target(
  'packets',
  'a reader gives a value or a Fault of its own for noise as a body, and reads nothing outside it',
  [fc.constantFrom(...names), versions, fc.uint8Array({ maxLength: 200 })],
  (name, version, noise) => {
    guarded(Buffer.from(noise), (data, start, end) => readers[name]!(data, start, end, version));
  },
);

export const brokenPackets = target(
  'broken-packets',
  'the same for packets that were right before something happened to them',
  [versions, packets, mutations],
  (version, sent, how) => {
    const { head, body } = opened(bytesOf(sent, version));
    guarded(mutate(body, how), (data, start, end) => byHead(head, data, start, end, version));
  },
);

export const brokenConnects = target(
  'broken-connects',
  'the same for CONNECT, which is read before anybody is known',
  [versions.chain((version) => connects(version).map((connect) => bytesOf(connect, version))), mutations],
  (bytes, how) => {
    const { body } = opened(bytes);
    guarded(mutate(body, how), (data, start, end) => readConnect(data, start, start, end, settings));
  },
);
