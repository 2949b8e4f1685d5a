/** PUBLISH towards a client (section 3.3 of both versions), as bytes. Pure. */
import type { Properties } from './properties.ts';

/** What a PUBLISH says; `packetId` is 0 for QoS 0, and `properties` are left out in 3.1.1. */
export interface OutboundPublish {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly duplicate: boolean;
  readonly packetId: number;
  readonly properties: Properties;
  /** Of every subscription that matches [MQTT-3.3.4-3] [MQTT-3.3.4-4]. */
  readonly subscriptionIdentifiers: readonly number[];
}

const none: readonly number[] = [];

export { none as noIdentifiers };

/** The whole packet. */
export function publishBytes(publish: OutboundPublish, version: 4 | 5): Buffer {
  const { topic, payload, qos, packetId } = publish;
  const topicLength = Buffer.byteLength(topic);
  const properties = version === 5 ? propertyBytes(publish) : nothing;
  const length = 2 + topicLength + (qos > 0 ? 2 : 0) + properties.length + payload.length;
  const bytes = Buffer.allocUnsafe(1 + varintSize(length) + length);
  bytes[0] = 0x30 | (publish.duplicate ? 8 : 0) | (qos << 1) | (publish.retain ? 1 : 0);
  let at = writeVarint(bytes, 1, length);
  at = bytes.writeUInt16BE(topicLength, at);
  at += bytes.write(topic, at);
  if (qos > 0) at = bytes.writeUInt16BE(packetId, at);
  properties.copy(bytes, at);
  payload.copy(bytes, at + properties.length);
  return bytes;
}

const nothing = Buffer.alloc(0);
const noBlock = Buffer.from([0]);

/** The property block with its length (section 3.3.2.3). */
function propertyBytes({ properties, subscriptionIdentifiers }: OutboundPublish): Buffer {
  const parts: Buffer[] = [];
  const { payloadFormat, messageExpiry, contentType, responseTopic, correlationData, userProperty } =
    properties;
  if (payloadFormat !== undefined) parts.push(Buffer.from([1, payloadFormat]));
  if (messageExpiry !== undefined) {
    const expiry = Buffer.from([2, 0, 0, 0, 0]);
    expiry.writeUInt32BE(messageExpiry, 1);
    parts.push(expiry);
  }
  if (contentType !== undefined) parts.push(Buffer.from([3]), text(contentType));
  if (responseTopic !== undefined) parts.push(Buffer.from([8]), text(responseTopic));
  if (correlationData !== undefined) parts.push(Buffer.from([9]), prefixed(correlationData));
  for (const identifier of subscriptionIdentifiers) {
    const bytes = Buffer.allocUnsafe(1 + varintSize(identifier));
    bytes[0] = 11;
    writeVarint(bytes, 1, identifier);
    parts.push(bytes);
  }
  for (const [name, value] of userProperty ?? []) parts.push(Buffer.from([38]), text(name), text(value));
  if (parts.length === 0) return noBlock;
  const block = Buffer.concat(parts);
  const length = Buffer.allocUnsafe(varintSize(block.length));
  writeVarint(length, 0, block.length);
  return Buffer.concat([length, block]);
}

const text = (value: string): Buffer => prefixed(Buffer.from(value));

const prefixed = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);

/** Bytes of a variable byte integer (section 1.5.5). */
const varintSize = (value: number): number =>
  value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4;

/** Writes one; the place after it. */
function writeVarint(bytes: Buffer, at: number, value: number): number {
  let next = at;
  let rest = value;
  while (rest > 0x7f) {
    bytes[next++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[next++] = rest;
  return next;
}
