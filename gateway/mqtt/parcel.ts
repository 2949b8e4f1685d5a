/** A message on its way to its subscribers, and to one of them. Plain data. */
import { noProperties, type Properties } from './properties.ts';
import { fromWire, type WireProperties } from './wire-properties.ts';

/** A message as the broker emits and stores it; what we read of it. */
export interface BrokerPacket {
  readonly cmd?: string;
  readonly topic: string;
  readonly payload: Buffer | string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly properties?: WireProperties;
  /** When it may no longer be sent, milliseconds since 1970. */
  readonly messageExpiry?: number;
  /** Client id of who published it. */
  readonly clientId?: string;
  /** Both together name the message. */
  readonly brokerId: string;
  readonly brokerCounter: number;
  /** In a session's store: the packet id under which it was sent. */
  readonly messageId?: number;
  /** Which shared subscriptions are served by this process, by their whole names; all of them when absent. */
  readonly shares?: readonly string[];
  /** It is for those alone: whoever subscribes without a share has it. */
  readonly sharesOnly?: boolean;
  /** Which are served elsewhere. */
  readonly sharesElsewhere?: readonly string[];
}

/** A message, once for all who get it. */
export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly properties: Properties;
  /** Milliseconds since 1970; endless when it does not expire. */
  readonly expiresAtMs: number;
  readonly packet: BrokerPacket;
}

export const messageOf = (packet: BrokerPacket): Message => ({
  topic: packet.topic,
  payload: typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload,
  qos: packet.qos,
  retain: packet.retain,
  properties: fromWire(packet.properties),
  expiresAtMs: packet.messageExpiry ?? Number.POSITIVE_INFINITY,
  packet,
});

/** A message from beside the broker. */
export const ownMessage = (
  topic: string,
  payload: Buffer,
  properties: Properties = noProperties,
): Message => ({
  topic,
  payload,
  qos: 1,
  retain: false,
  properties,
  expiresAtMs: Number.POSITIVE_INFINITY,
  packet: { topic, payload, qos: 1, retain: false, brokerId: '', brokerCounter: 0 },
});

/** How a subscriber gets a message: the best that its matching subscriptions grant (section 3.3.4). */
export interface Grant {
  qos: 0 | 1 | 2;
  /** RETAIN as it is to be sent. */
  retain: boolean;
  identifiers: readonly number[];
}

/**
 * How a parcel ended: the client has it; it answered with a reason code of 0x80 or more (section 3.4.2.1); it was not sent
 * since the client takes no packet that long [MQTT-3.1.2-25], since it has expired [MQTT-3.3.2-5], or since the client may
 * no longer hear it; or the connection ended first.
 */
export type Ending = 'acknowledged' | 'refused' | 'too-large' | 'expired' | 'denied' | 'closed';

/** One message for one client. */
export interface Parcel extends Grant {
  readonly message: Message;
  /** Whether the session's store holds it. */
  readonly stored: boolean;
  /** The packet id under which the same session has been sent it before: it goes again under the same, marked DUP. */
  readonly again?: number;
  /** It may not be what the client subscribes to: whoever sends it has judged that it may hear it. */
  readonly judged?: boolean;
  /** It is on its way, under this packet id. */
  readonly sent?: (packetId: number) => void;
  /** Called once, unless it is stored and the connection ended first; `wasSent` when the client may have seen it. */
  readonly ended?: (ending: Ending, reasonCode: number, wasSent: boolean) => void;
}
