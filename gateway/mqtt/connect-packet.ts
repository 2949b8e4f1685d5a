/** The CONNECT packet of MQTT 3.1.1 and 5 (section 3.1 of both), read strictly and completely before anybody is judged. */
import { isUtf8 } from 'node:buffer';
import { Fault } from '#common/fault.ts';
import type { MqttSettings } from '../settings.ts';
import { lengthOf } from './answers.ts';
import { malformed, PacketReader, protocolError } from './packet-reader.ts';
import { noProperties, notText, type Properties, readProperties } from './properties.ts';
import { checkTopicName } from './topic.ts';

export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly contentType: string;
  readonly properties: Properties;
}

export interface Connect {
  readonly version: 4 | 5;
  readonly clientId: string;
  /** Whether the client left its id to us. */
  readonly idAssigned: boolean;
  /** Clean Session of 3.1.1, Clean Start of 5. */
  readonly clean: boolean;
  readonly keepAliveSeconds: number;
  readonly will: Will | null;
  /** Seconds that the session outlives the connection: 0 for a clean session of 3.1.1, endless for one that is kept. */
  readonly sessionExpirySeconds: number;
  /** The client's own limits (MQTT 5). */
  readonly maximumPacketSize: number;
  /** Most QoS 1 and 2 publishes that it takes unacknowledged; null in 3.1.1, which cannot say. */
  readonly receiveMaximum: number | null;
  readonly wantsReasons: boolean;
  /** Whether it asks for an authentication of its own method (section 4.12). */
  readonly authenticates: boolean;
  /** The whole packet, a copy, with keep-alive 0: for the broker, which is not to watch the time a second time. */
  readonly frame: Buffer;
  /** Where in the frame the client id stands, its length first. */
  readonly clientIdAt: number;
}

const endless = 0xffff_ffff;

/** The version that a CONNECT claims, so that one that is wrong further on can be answered in its own words. */
export const versionOf = (data: Buffer, start: number, end: number): 4 | 5 =>
  start + 7 <= end && data.readUInt16BE(start) === 4 && data[start + 6] === 5 ? 5 : 4;

/**
 * Reads the body between `start` and `end` of `data`; the packet itself begins at `packetStart`. Faults
 * `protocol-version`, `malformed-packet` or `protocol-error`.
 */
export function readConnect(
  data: Buffer,
  packetStart: number,
  start: number,
  end: number,
  settings: MqttSettings,
): Connect {
  const reader = new PacketReader(data, start, end);
  const name = reader.text();
  const level = reader.byte();
  if (name !== 'MQTT' || (level !== 4 && level !== 5)) {
    throw new Fault('protocol-version', 'This gateway speaks MQTT 3.1.1 and 5.');
  }
  const flags = reader.byte();
  if (flags & 1) throw malformed('the reserved flag of CONNECT is set'); // [MQTT-3.1.2-3]
  const keepAliveAt = reader.at;
  const keepAliveSeconds = reader.uint16();
  const properties =
    level === 5 ? readProperties(reader, 'connect', settings.maxUserProperties) : noProperties;
  checkProperties(properties);
  const clientIdAt = reader.at - packetStart;
  const clientId = reader.text();
  const will = readWill(reader, flags, level, settings);
  // [MQTT-3.1.2-22] of 3.1.1: a password needs a user name; MQTT 5 allows it alone.
  if (level === 4 && flags & 0x40 && !(flags & 0x80)) throw malformed('a password without a user name');
  if (flags & 0x80) reader.text();
  if (flags & 0x40) reader.binary();
  reader.done();

  const clean = (flags & 2) !== 0;
  const frame = Buffer.from(data.subarray(packetStart, end));
  frame.writeUInt16BE(0, keepAliveAt - packetStart);
  return {
    version: level,
    clientId,
    idAssigned: false,
    clean,
    keepAliveSeconds,
    will,
    sessionExpirySeconds: level === 5 ? (properties.sessionExpiry ?? 0) : clean ? 0 : endless,
    maximumPacketSize: properties.maximumPacketSize ?? endless,
    receiveMaximum: level === 5 ? (properties.receiveMaximum ?? 0xffff) : null, // section 3.1.2.11.3
    wantsReasons: properties.requestProblem !== 0,
    authenticates: properties.authenticationMethod !== undefined,
    frame,
    clientIdAt,
  };
}

function checkProperties(properties: Properties): void {
  const { receiveMaximum, maximumPacketSize, authenticationMethod, authenticationData } = properties;
  if (receiveMaximum === 0) throw protocolError('Receive Maximum is 0');
  if (maximumPacketSize === 0) throw protocolError('Maximum Packet Size is 0');
  if (authenticationData !== undefined && authenticationMethod === undefined)
    throw protocolError('authentication data without a method'); // section 3.1.2.11.10
}

/** The same CONNECT as if the client had provided this id [MQTT-3.1.3-6] of 3.1.1, [MQTT-3.1.3-7] of 5. */
export function withClientId(connect: Connect, clientId: string): Connect {
  const { frame, clientIdAt } = connect;
  const rest = frame.subarray(clientIdAt + 2 + frame.readUInt16BE(clientIdAt));
  const bodyAt = frame.indexOf('MQTT') - 2;
  const head = frame.subarray(bodyAt, clientIdAt);
  const id = Buffer.from(clientId);
  const field = Buffer.from([id.length >> 8, id.length & 0xff]);
  const body = Buffer.concat([head, field, id, rest]);
  const length = lengthOf(body.length);
  const whole = Buffer.concat([frame.subarray(0, 1), length, body]);
  return {
    ...connect,
    clientId,
    idAssigned: true,
    frame: whole,
    clientIdAt: clientIdAt + 1 + length.length - bodyAt,
  };
}

function readWill(reader: PacketReader, flags: number, level: number, settings: MqttSettings): Will | null {
  const qos = (flags >> 3) & 3;
  const retain = (flags & 0x20) !== 0;
  if (!(flags & 4)) {
    if (qos !== 0 || retain) throw malformed('Will flags without a Will'); // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
    return null;
  }
  if (qos === 3) throw malformed('Will QoS is 3'); // [MQTT-3.1.2-12]
  const properties = level === 5 ? readProperties(reader, 'will', settings.maxUserProperties) : noProperties;
  const { contentType = '', responseTopic, payloadFormat } = properties;
  if (responseTopic !== undefined) checkTopicName(responseTopic, settings); // [MQTT-3.3.2-14]
  const topic = reader.text();
  checkTopicName(topic, settings);
  const payload = Buffer.from(reader.binary());
  if (payloadFormat === 1 && !isUtf8(payload)) throw notText;
  return { topic, payload, qos: qos as 0 | 1 | 2, retain, contentType, properties };
}
