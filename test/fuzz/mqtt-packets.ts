/** Packets that a client may send, as mqtt-packet writes them, and what becomes of bytes on a bad day. */
import fc from 'fast-check';
import { generate, type Packet } from 'mqtt-packet';

export type Version = 4 | 5;
export const versions: fc.Arbitrary<Version> = fc.constantFrom(4, 5);

/** Text that MQTT allows: no NUL, no lone surrogate. */
const text = (maxLength: number) =>
  fc.string({ unit: 'grapheme', maxLength }).filter((value) => !/[\u0000\ud800-\udfff]/u.test(value));
const level = text(12).map((value) => value.replace(/[+#/]/g, '-'));
const topic = fc
  .array(level, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join('/'))
  .filter((value) => value !== '');
const filter = fc
  .array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 4 })
  .chain((levels) => fc.constantFrom(levels.join('/'), [...levels, '#'].join('/')))
  .filter((value) => value !== '');
const payload = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const packetId = fc.integer({ min: 1, max: 0xffff });
const userProperties = fc.dictionary(
  text(8).filter((name) => name !== '__proto__'),
  text(20),
  { minKeys: 1, maxKeys: 3, noNullPrototype: true },
);
const some = <Fields extends object>(fields: { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> }) =>
  fc.record(fields, { requiredKeys: [] });
const uint32 = fc.integer({ min: 1, max: 0xffff_ffff });

const publishProperties = some({
  payloadFormatIndicator: fc.boolean(),
  messageExpiryInterval: uint32,
  responseTopic: topic,
  correlationData: payload,
  contentType: text(20),
  userProperties,
});

const publish = fc
  .record({
    topic,
    payload,
    qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    dup: fc.boolean(),
    retain: fc.boolean(),
    messageId: packetId,
    properties: publishProperties,
  })
  .map((fields): Packet => ({ cmd: 'publish', ...fields, dup: fields.dup && fields.qos > 0 }));

const subscribe = fc
  .record({
    messageId: packetId,
    subscriptions: fc.array(
      fc.record({
        topic: filter,
        qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
        nl: fc.boolean(),
        rap: fc.boolean(),
        rh: fc.constantFrom(0, 1, 2),
      }),
      { minLength: 1, maxLength: 5 },
    ),
    properties: some({ subscriptionIdentifier: fc.integer({ min: 1, max: 0xfff_ffff }), userProperties }),
  })
  .map((fields): Packet => ({ cmd: 'subscribe', ...fields }));

const unsubscribe = fc
  .record({ messageId: packetId, unsubscriptions: fc.array(filter, { minLength: 1, maxLength: 5 }) })
  .map((fields): Packet => ({ cmd: 'unsubscribe', ...fields }));

const acknowledgement = fc
  .record({
    cmd: fc.constantFrom('puback' as const, 'pubrec' as const, 'pubrel' as const, 'pubcomp' as const),
    messageId: packetId,
    reasonCode: fc.constant(0),
    properties: some({ reasonString: text(20), userProperties }),
  })
  .map((fields): Packet => fields);

const disconnect = fc
  .record({
    reasonCode: fc.constantFrom(0, 4),
    properties: some({ reasonString: text(20), userProperties }),
  })
  .map((fields): Packet => ({ cmd: 'disconnect', ...fields }));

export const connects = (version: Version) =>
  fc
    .record({
      clientId: text(20).filter((id) => id !== ''),
      clean: fc.boolean(),
      keepalive: fc.integer({ min: 0, max: 0xffff }),
      username: fc.option(text(10), { nil: undefined }),
      properties: some({
        sessionExpiryInterval: uint32,
        receiveMaximum: packetId,
        maximumPacketSize: uint32,
        topicAliasMaximum: packetId,
        requestProblemInformation: fc.boolean(),
        userProperties,
      }),
      will: fc.option(
        fc.record({
          topic,
          payload,
          qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
          retain: fc.boolean(),
        }),
        { nil: undefined },
      ),
    })
    .map(({ username, will, ...fields }) => ({
      cmd: 'connect' as const,
      protocolId: 'MQTT' as const,
      protocolVersion: version,
      ...(username !== undefined && { username }),
      ...(will !== undefined && { will }),
      ...fields,
    }));

/** Anything that may come after CONNECT. */
export const packets: fc.Arbitrary<Packet> = fc.oneof(
  { arbitrary: publish, weight: 4 },
  subscribe,
  unsubscribe,
  acknowledgement,
  disconnect,
  fc.constant<Packet>({ cmd: 'pingreq' }),
);

export const bytesOf = (packet: Packet, version: Version): Buffer =>
  generate(packet, { protocolVersion: version });

/** A stream cut into pieces of 1 to some bytes, at places that come from `cuts`. */
export function pieces(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0, n = 0; at < stream.length; n++) {
    const size = 1 + (cuts.length === 0 ? stream.length : cuts[n % cuts.length]!);
    found.push(stream.subarray(at, at + size));
    at += size;
  }
  return found;
}
export const cuts: fc.Arbitrary<number[]> = fc.array(fc.oneof(fc.nat(3), fc.nat(100), fc.nat(5000)), {
  minLength: 1,
  maxLength: 20,
});

/** One thing that happens to bytes: a byte becomes another, some are lost, some come twice, some come from nowhere. */
type Mutation = readonly [kind: 'set' | 'cut' | 'double' | 'insert', at: number, value: number];
export const mutations: fc.Arbitrary<Mutation[]> = fc.array(
  fc.tuple(
    fc.constantFrom('set' as const, 'cut' as const, 'double' as const, 'insert' as const),
    fc.nat(100_000),
    fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)),
  ),
  { maxLength: 6 },
);

export function mutate(bytes: Buffer, how: readonly Mutation[]): Buffer {
  let mutated = Buffer.from(bytes);
  for (const [kind, place, value] of how) {
    if (mutated.length === 0) return mutated;
    const at = place % mutated.length;
    const [before, after] = [mutated.subarray(0, at), mutated.subarray(at)];
    const some = 1 + (value % 8);
    switch (kind) {
      case 'set':
        mutated[at] = value;
        break;
      case 'cut':
        mutated = Buffer.concat([before, after.subarray(some)]);
        break;
      case 'double':
        mutated = Buffer.concat([before, after.subarray(0, some), after]);
        break;
      case 'insert':
        mutated = Buffer.concat([before, Buffer.alloc(some, value), after]);
        break;
    }
  }
  return mutated;
}
