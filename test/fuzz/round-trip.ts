/** What mqtt-packet writes is read with the same fields; what the gateway writes, mqtt-packet reads with the same fields. */
import fc from 'fast-check';
import { type IConnectPacket, type ISubscribePacket, type Packet, parser } from 'mqtt-packet';
import { expect } from 'vitest';
import {
  bareAcknowledgement,
  connack4,
  connack5,
  connack5Refusal,
  disconnect5,
  type Hearer,
  publish0,
  refusedPublish5,
  suback,
  unknownPacketId5,
} from '../../gateway/mqtt/answers.ts';
import { readConnect } from '../../gateway/mqtt/connect-packet.ts';
import { type Frame, scanFrame, whole } from '../../gateway/mqtt/frame.ts';
import { publishBytes } from '../../gateway/mqtt/publish-packet.ts';
import { readSubscribe } from '../../gateway/mqtt/subscribe-packet.ts';
import { bytesOf, connects, packets, type Version, versions } from './mqtt-packets.ts';
import { settings } from './packets.ts';
import { target } from './target.ts';

const frame: Frame = { head: 0, start: 0, end: 0 };

export const connectsRead = target(
  'connects',
  'a CONNECT is read with the fields that it was written with',
  [versions.chain((version) => connects(version))],
  (sent: IConnectPacket) => {
    const version = sent.protocolVersion as Version;
    const bytes = bytesOf(sent, version);
    expect(scanFrame(bytes, 0, bytes.length, frame)).toBe(whole);
    const read = readConnect(bytes, 0, frame.start, frame.end, settings);
    const expiry =
      version === 5 ? (sent.properties?.sessionExpiryInterval ?? 0) : sent.clean ? 0 : 0xffff_ffff;
    expect(read).toMatchObject({
      version,
      clientId: sent.clientId,
      clean: sent.clean,
      keepAliveSeconds: sent.keepalive,
      sessionExpirySeconds: expiry,
    });
    if (sent.will) {
      const { topic, qos, retain } = sent.will;
      expect(read.will).toMatchObject({ topic, qos, retain });
      expect(read.will!.payload.equals(Buffer.from(sent.will.payload))).toBe(true);
    } else expect(read.will).toBeNull();
  },
);

export const subscribesRead = target(
  'subscribes',
  'a SUBSCRIBE is read with the fields that it was written with',
  [versions, packets.filter(({ cmd }) => cmd === 'subscribe')],
  (version, packet) => {
    const sent = packet as ISubscribePacket;
    const bytes = bytesOf(sent, version);
    expect(scanFrame(bytes, 0, bytes.length, frame)).toBe(whole);
    const read = readSubscribe(bytes, frame.start, frame.end, version, settings);
    expect(read.packetId).toBe(sent.messageId);
    if (version === 5) expect(read.subscriptionIdentifier).toBe(sent.properties?.subscriptionIdentifier);
    const asked = sent.subscriptions.map(({ topic, qos, nl, rap, rh }) =>
      version === 5
        ? { filter: topic, qos, noLocal: nl, retainAsPublished: rap, retainHandling: rh }
        : { filter: topic, qos },
    );
    expect(read.subscriptions).toMatchObject(asked);
  },
);

/** The one packet that some bytes are. */
function onlyPacket(bytes: Buffer, version: Version): Packet {
  const found: Packet[] = [];
  const reading = parser({ protocolVersion: version });
  reading.on('packet', (packet) => found.push(packet));
  reading.on('error', (error) => {
    throw error;
  });
  expect(reading.parse(bytes)).toBe(0);
  expect(found).toHaveLength(1);
  return found[0]!;
}

const packetId = fc.integer({ min: 1, max: 0xffff });
const sentence = fc
  .string({ unit: 'grapheme', maxLength: 200 })
  .filter((text) => !/[\u0000\ud800-\udfff]/u.test(text));
/** Whether the client wants reasons, and how long a packet it takes. */
const hearers = fc.record({
  wantsReasons: fc.boolean(),
  maximumPacketSize: fc.constantFrom(20, 100, 0xffff_ffff),
});
const failureCode = fc.constantFrom(0x80, 0x87, 0x90, 0x97, 0x99);
/** Reads a packet that may carry the sentence: it does when the client wants it and it fits, and never is too long for it. */
function expectTold(bytes: Buffer, expected: object, text: string, hearer: Hearer): void {
  const read = onlyPacket(bytes, 5) as Packet & { properties?: { reasonString?: string } };
  expect(read).toMatchObject(expected);
  const told = read.properties?.reasonString;
  if (told !== undefined) {
    expect(hearer.wantsReasons).toBe(true);
    expect(told).toBe(text);
    expect(bytes.length).toBeLessThanOrEqual(hearer.maximumPacketSize);
  } else if (hearer.wantsReasons && text !== '')
    expect(bytes.length + Buffer.byteLength(text)).toBeGreaterThan(hearer.maximumPacketSize - 8);
}

export const answersWritten = target(
  'answers',
  'what the gateway answers is read by mqtt-packet with the same fields',
  [
    versions,
    packetId,
    sentence,
    hearers,
    failureCode,
    fc.array(fc.constantFrom(0, 1, 2, 0x80), { minLength: 1, maxLength: 200 }),
  ],
  (version, id, text, hearer, code, granted) => {
    const ackNames = { 64: 'puback', 80: 'pubrec', 112: 'pubcomp' } as const;
    for (const type of [0x40, 0x50, 0x70] as const)
      expect(onlyPacket(bareAcknowledgement(type, id), version)).toMatchObject({
        cmd: ackNames[type],
        messageId: id,
      });
    expect(onlyPacket(suback(id, granted, version), version)).toMatchObject({
      cmd: 'suback',
      messageId: id,
      granted,
    });
    if (version === 4) {
      expect(onlyPacket(connack4(2, false), 4)).toMatchObject({ returnCode: 2, sessionPresent: false });
      return;
    }
    for (const type of [0x40, 0x50] as const)
      expectTold(
        refusedPublish5(type, id, code, text, hearer),
        { cmd: ackNames[type], messageId: id, reasonCode: code },
        text,
        hearer,
      );
    expect(onlyPacket(unknownPacketId5(id), 5)).toMatchObject({
      cmd: 'pubcomp',
      messageId: id,
      reasonCode: 0x92,
    });
    expectTold(connack5Refusal(code, text, hearer), { cmd: 'connack', reasonCode: code }, text, hearer);
    expectTold(disconnect5(code, text, hearer), { cmd: 'disconnect', reasonCode: code }, text, hearer);
    const limits = {
      receiveMaximum: id,
      maximumPacketSize: id * 1000,
      serverKeepAliveSeconds: code,
      sessionExpirySeconds: id * 65_000,
      assignedClientId: text === '' ? null : text,
    };
    expect(onlyPacket(connack5(true, limits), 5)).toMatchObject({
      cmd: 'connack',
      sessionPresent: true,
      properties: {
        receiveMaximum: id,
        maximumPacketSize: id * 1000,
        serverKeepAlive: code,
        sessionExpiryInterval: id * 65_000,
      },
    });
  },
);

const topic = fc.stringMatching(/^[a-z0-9/]{1,40}$/);
const payload = fc.uint8Array({ maxLength: 20_000 }).map((bytes) => Buffer.from(bytes));

export const publishesWritten = target(
  'publishes',
  'a PUBLISH towards a client is read by mqtt-packet with the same fields',
  [
    versions,
    topic,
    payload,
    fc.record({
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
      retain: fc.boolean(),
      duplicate: fc.boolean(),
      packetId,
      subscriptionIdentifiers: fc.array(fc.integer({ min: 1, max: 0xfff_ffff }), { maxLength: 3 }),
      contentType: fc.option(
        sentence.filter((text) => text !== ''),
        { nil: undefined },
      ),
      messageExpiry: fc.option(fc.nat(0xffff_ffff), { nil: undefined }),
      correlationData: fc.option(
        payload.map((bytes) => bytes.subarray(0, 100)),
        { nil: undefined },
      ),
    }),
  ],
  (version, name, bytes, { contentType, messageExpiry, correlationData, ...fields }) => {
    const defined = Object.entries({ contentType, messageExpiry, correlationData }).filter(
      ([, value]) => value !== undefined,
    );
    const duplicate = fields.duplicate && fields.qos > 0;
    const wire = publishBytes(
      { ...fields, duplicate, topic: name, payload: bytes, properties: Object.fromEntries(defined) },
      version,
    );
    const read = onlyPacket(wire, version);
    expect(read).toMatchObject({
      cmd: 'publish',
      topic: name,
      qos: fields.qos,
      retain: fields.retain,
      dup: duplicate,
      ...(fields.qos > 0 && { messageId: fields.packetId }),
    });
    expect(Buffer.from((read as { payload: Buffer }).payload).equals(bytes)).toBe(true);
    if (version === 5 && (defined.length > 0 || fields.subscriptionIdentifiers.length > 0))
      expect((read as { properties: object }).properties).toMatchObject({
        ...(contentType !== undefined && { contentType }),
        ...(messageExpiry !== undefined && { messageExpiryInterval: messageExpiry }),
      });
    expect(onlyPacket(publish0(name, 'told', version), version)).toMatchObject({ topic: name, qos: 0 });
  },
);
