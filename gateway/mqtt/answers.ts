/** The packets that the front itself sends, as bytes. */

const correlationDataId = 0x09;
const reasonStringId = 0x1f;

/** Reason code of PUBACK and PUBREC in 5: taken, and nobody listens (section 3.4.2.1). */
export const noMatchingSubscribers = 0x10;

/** CONNACK of 3.1.1 (section 3.2). */
export const connack4 = (returnCode: number, sessionPresent: boolean): Buffer =>
  Buffer.from([0x20, 2, sessionPresent ? 1 : 0, returnCode]);

export interface ServerLimits {
  readonly receiveMaximum: number;
  readonly maximumPacketSize: number;
  /** When the keep-alive is ours, not the client's. */
  readonly serverKeepAliveSeconds: number | null;
  /** When the session is kept for another time than was asked for. */
  readonly sessionExpirySeconds: number | null;
  /** When the client left its id to us [MQTT-3.2.2-16]. */
  readonly assignedClientId: string | null;
}

/** CONNACK of 5 that admits (section 3.2.2.3): our limits, no topic aliases. */
export function connack5(sessionPresent: boolean, limits: ServerLimits): Buffer {
  const properties: number[] = [
    0x21,
    limits.receiveMaximum >> 8,
    limits.receiveMaximum & 0xff,
    0x27,
    ...uint32(limits.maximumPacketSize),
  ];
  if (limits.serverKeepAliveSeconds !== null) {
    properties.push(0x13, limits.serverKeepAliveSeconds >> 8, limits.serverKeepAliveSeconds & 0xff);
  }
  if (limits.sessionExpirySeconds !== null) properties.push(0x11, ...uint32(limits.sessionExpirySeconds));
  if (limits.assignedClientId !== null) {
    const id = Buffer.from(limits.assignedClientId);
    properties.push(0x12, id.length >> 8, id.length & 0xff, ...id);
  }
  const length = lengthOf(properties.length);
  return Buffer.from([
    0x20,
    ...lengthOf(2 + length.length + properties.length),
    sessionPresent ? 1 : 0,
    0,
    ...length,
    ...properties,
  ]);
}

const uint32 = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 0xff,
  (value >>> 8) & 0xff,
  value & 0xff,
];

/** Who is told: whether it wants to know why [MQTT-3.1.2-29], and how long a packet it takes [MQTT-3.1.2-24]. */
export interface Hearer {
  readonly wantsReasons: boolean;
  readonly maximumPacketSize: number;
}

/** CONNACK of 5 that refuses. */
export const connack5Refusal = (reasonCode: number, reason: string, hearer: Hearer): Buffer =>
  packet(0x20, [0, reasonCode], reason, hearer);

/** DISCONNECT of 5 (section 3.14); 3.1.1 has none from the server. */
export const disconnect5 = (reasonCode: number, reason: string, hearer: Hearer): Buffer =>
  packet(0xe0, [reasonCode], reason, hearer);

/** PUBACK (0x40) or PUBREC (0x50) with a reason, in 5. */
export const refusedPublish5 = (
  type: 0x40 | 0x50,
  packetId: number,
  reasonCode: number,
  reason: string,
  hearer: Hearer,
): Buffer => packet(type, [packetId >> 8, packetId & 0xff, reasonCode], reason, hearer);

/** PUBACK (0x40), PUBREC (0x50) or PUBCOMP (0x70) without more. */
export const bareAcknowledgement = (type: 0x40 | 0x50 | 0x70, packetId: number): Buffer =>
  Buffer.from([type, 2, packetId >> 8, packetId & 0xff]);

/** PUBCOMP of 5 for an identifier that nobody knows: 0x92 (section 3.7.2.1). */
export const unknownPacketId5 = (packetId: number): Buffer =>
  Buffer.from([0x70, 3, packetId >> 8, packetId & 0xff, 0x92]);

/** PUBREL (section 3.6). */
export const pubrel = (packetId: number): Buffer => Buffer.from([0x62, 2, packetId >> 8, packetId & 0xff]);

/** PUBREL for an identifier that nobody knows: 0x92 in 5 (section 3.6.2.1), the plain one in 3.1.1. */
export const pubrelOfUnknown = (packetId: number, version: 4 | 5): Buffer =>
  version === 4 ? pubrel(packetId) : Buffer.from([0x62, 3, packetId >> 8, packetId & 0xff, 0x92]);

export const pingresp = Buffer.from([0xd0, 0]);

/** SUBACK (section 3.9). */
export function suback(packetId: number, codes: readonly number[], version: 4 | 5): Buffer {
  const body = [packetId >> 8, packetId & 0xff, ...(version === 5 ? [0] : []), ...codes];
  return Buffer.concat([Buffer.from([0x90]), lengthOf(body.length), Buffer.from(body)]);
}

/** SUBACK of 5 with codes that refuse, and why. */
export const refusedSuback5 = (
  packetId: number,
  codes: readonly number[],
  reason: string,
  hearer: Hearer,
): Buffer => packet(0x90, [packetId >> 8, packetId & 0xff], reason, hearer, codes);

/** UNSUBACK (section 3.11): 3.1.1 has no codes. */
export function unsuback(packetId: number, codes: readonly number[], version: 4 | 5): Buffer {
  const body = [packetId >> 8, packetId & 0xff, ...(version === 5 ? [0, ...codes] : [])];
  return Buffer.concat([Buffer.from([0xb0]), lengthOf(body.length), Buffer.from(body)]);
}

/** PUBLISH of QoS 0 to a device: for its error topic, or the answer to a request that had correlation data (5 only). */
export function publish0(topic: string, payload: string, version: 4 | 5, correlation?: Buffer): Buffer {
  const name = Buffer.from(topic);
  const head = Buffer.from([name.length >> 8, name.length & 0xff]);
  const properties = version === 5 ? correlationOf(correlation) : Buffer.alloc(0);
  const body = Buffer.concat([head, name, properties, Buffer.from(payload)]);
  return Buffer.concat([Buffer.from([0x30]), lengthOf(body.length), body]);
}

/** Properties that hold the correlation data, or nothing. */
function correlationOf(data: Buffer | undefined): Buffer {
  if (!data) return Buffer.from([0]);
  const id = Buffer.from([correlationDataId, data.length >> 8, data.length & 0xff]);
  return Buffer.concat([lengthOf(id.length + data.length), id, data]);
}

/** A packet of 5 whose only property is the reason string, for who wants it and takes a packet that long. */
function packet(
  type: number,
  head: readonly number[],
  reason: string,
  { wantsReasons, maximumPacketSize }: Hearer,
  payload: readonly number[] = [],
): Buffer {
  const whole = wantsReasons ? framed(type, [...head, ...reasonString(reason), ...payload]) : null;
  return whole !== null && whole.length <= maximumPacketSize ? whole : framed(type, [...head, 0, ...payload]);
}

function reasonString(reason: string): number[] {
  const text = Buffer.from(reason);
  return [...lengthOf(text.length + 3), reasonStringId, text.length >> 8, text.length & 0xff, ...text];
}

const framed = (type: number, body: readonly number[]): Buffer =>
  Buffer.from([type, ...lengthOf(body.length), ...body]);

/** A variable byte integer (section 1.5.5). */
export function lengthOf(length: number): Buffer {
  const bytes: number[] = [];
  for (let rest = length; ; ) {
    const digit = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest > 0 ? digit | 0x80 : digit);
    if (rest === 0) return Buffer.from(bytes);
  }
}
