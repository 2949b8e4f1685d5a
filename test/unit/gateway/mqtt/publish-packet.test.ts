/** PUBLISH as we write it is PUBLISH as another library reads it. */
import fc from 'fast-check';
import { type IPublishPacket, parser } from 'mqtt-packet';
import { expect, test } from 'vitest';
import { noProperties } from '../../../../gateway/mqtt/properties.ts';
import { publishBytes } from '../../../../gateway/mqtt/publish-packet.ts';

const read = (bytes: Buffer, protocolVersion: 4 | 5): IPublishPacket => {
  const all: IPublishPacket[] = [];
  parser({ protocolVersion })
    .on('packet', (packet) => all.push(packet as IPublishPacket))
    .parse(bytes);
  expect(all).toHaveLength(1);
  return all[0]!;
};

const word = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !text.includes('\0'));
const publishes = fc.record({
  topic: word,
  // Over each size at which the length takes one more byte.
  payload: fc
    .oneof(fc.nat(300), fc.integer({ min: 16_300, max: 16_400 }))
    .map((size) => Buffer.alloc(size, 7)),
  qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
  retain: fc.boolean(),
  packetId: fc.integer({ min: 1, max: 0xffff }),
  subscriptionIdentifiers: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 3 }),
  properties: fc.record(
    {
      payloadFormat: fc.constantFrom(0, 1),
      messageExpiry: fc.nat(0xffff_ffff),
      contentType: word,
      responseTopic: word,
      correlationData: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      userProperty: fc.uniqueArray(fc.tuple(word, word), {
        minLength: 1,
        maxLength: 3,
        selector: ([name]) => name,
      }),
    },
    { requiredKeys: [] },
  ),
});

test('MQTT 5: every field comes through', () => {
  fc.assert(
    fc.property(publishes, ({ qos, ...publish }) => {
      const packet = read(publishBytes({ ...publish, qos, duplicate: qos > 0 }, 5), 5);
      const { topic, payload, retain, packetId, properties, subscriptionIdentifiers } = publish;
      expect(packet).toMatchObject({ topic, payload, qos, retain, dup: qos > 0 });
      if (qos > 0) expect(packet.messageId).toBe(packetId);
      const got = packet.properties ?? {};
      expect(got.messageExpiryInterval).toEqual(properties.messageExpiry);
      expect(got.contentType).toEqual(properties.contentType);
      expect(got.responseTopic).toEqual(properties.responseTopic);
      expect(got.correlationData).toEqual(properties.correlationData);
      expect(got.payloadFormatIndicator).toEqual(
        properties.payloadFormat === undefined ? undefined : properties.payloadFormat === 1,
      );
      expect(Object.entries(got.userProperties ?? {})).toEqual(
        Object.entries(Object.fromEntries(properties.userProperty ?? [])),
      );
      expect([got.subscriptionIdentifier ?? []].flat()).toEqual(subscriptionIdentifiers);
    }),
  );
});

test('3.1.1: the same without properties', () => {
  fc.assert(
    fc.property(publishes, ({ qos, ...publish }) => {
      const packet = read(publishBytes({ ...publish, qos, duplicate: false }, 4), 4);
      const { topic, payload, retain } = publish;
      expect(packet).toMatchObject({ topic, payload, qos, retain, dup: false });
      expect(packet.properties).toBeUndefined();
    }),
  );
});

test('no properties cost one byte', () => {
  const publish = { topic: 'a', payload: Buffer.from('1'), qos: 0, retain: false, duplicate: false } as const;
  const rest = { packetId: 0, properties: noProperties, subscriptionIdentifiers: [] };
  expect([...publishBytes({ ...publish, ...rest }, 5)]).toEqual([0x30, 5, 0, 1, 97, 0, 49]);
});
