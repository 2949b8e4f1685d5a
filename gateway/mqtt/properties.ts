/** MQTT 5 properties (section 2.2.2): which may stand in which packet, of what type, and how often. */
import { Fault } from '#common/fault.ts';
import { malformed, type PacketReader, protocolError } from './packet-reader.ts';

type Kind = 'byte' | 'flag' | 'uint16' | 'uint32' | 'varint' | 'text' | 'binary' | 'pair';

interface Rule {
  readonly name: string;
  readonly kind: Kind;
}

const rules: Readonly<Record<number, Rule>> = {
  1: { name: 'payloadFormat', kind: 'flag' },
  2: { name: 'messageExpiry', kind: 'uint32' },
  3: { name: 'contentType', kind: 'text' },
  8: { name: 'responseTopic', kind: 'text' },
  9: { name: 'correlationData', kind: 'binary' },
  11: { name: 'subscriptionIdentifier', kind: 'varint' },
  17: { name: 'sessionExpiry', kind: 'uint32' },
  21: { name: 'authenticationMethod', kind: 'text' },
  22: { name: 'authenticationData', kind: 'binary' },
  23: { name: 'requestProblem', kind: 'flag' },
  24: { name: 'willDelay', kind: 'uint32' },
  25: { name: 'requestResponse', kind: 'flag' },
  31: { name: 'reasonString', kind: 'text' },
  33: { name: 'receiveMaximum', kind: 'uint16' },
  34: { name: 'topicAliasMaximum', kind: 'uint16' },
  35: { name: 'topicAlias', kind: 'uint16' },
  38: { name: 'userProperty', kind: 'pair' },
  39: { name: 'maximumPacketSize', kind: 'uint32' },
};

/** The properties a client may send, by packet. */
export const allowedProperties = {
  connect: [17, 21, 22, 23, 25, 33, 34, 38, 39],
  will: [1, 2, 3, 8, 9, 24, 38],
  publish: [1, 2, 3, 8, 9, 35, 38],
  subscribe: [11, 38],
  unsubscribe: [38],
  acknowledgement: [31, 38],
  disconnect: [17, 31, 38],
} as const;

export interface Properties {
  payloadFormat?: number;
  messageExpiry?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  subscriptionIdentifier?: number;
  sessionExpiry?: number;
  authenticationMethod?: string;
  authenticationData?: Buffer;
  requestProblem?: number;
  willDelay?: number;
  receiveMaximum?: number;
  topicAlias?: number;
  maximumPacketSize?: number;
  userProperty?: [string, string][];
}

/** None, without an allocation: what most packets have. */
export const noProperties: Properties = Object.freeze({});

/**
 * Reads the property block. Faults `malformed-packet`, and `protocol-error` for a property that may not stand here or
 * stands twice. `maxUserProperties` bounds what one packet can make us keep.
 */
export function readProperties(
  reader: PacketReader,
  packet: keyof typeof allowedProperties,
  maxUserProperties: number,
): Properties {
  const length = reader.varint();
  if (length === 0) return noProperties;
  if (length > reader.left) throw malformed('its properties are longer than itself');
  const end = reader.at + length;
  const allowed: readonly number[] = allowedProperties[packet];
  const found: Record<string, unknown> = {};
  let users = 0;
  while (reader.at < end) {
    const id = reader.varint();
    const rule = rules[id];
    if (!rule || !allowed.includes(id)) throw protocolError(`property ${id} may not stand in this packet`);
    if (rule.kind === 'pair') {
      users += 1;
      if (users > maxUserProperties) throw protocolError(`more than ${maxUserProperties} user properties`);
      found.userProperty ??= [];
      (found.userProperty as [string, string][]).push([reader.text(), reader.text()]);
      continue;
    }
    if (rule.name in found) throw protocolError(`property ${id} stands twice`);
    found[rule.name] = readValue(reader, rule);
  }
  if (reader.at !== end) throw malformed('a property runs over the end of the properties');
  return found as Properties;
}

/** Of a payload that its format indicator calls text (section 3.3.2.3.2): Payload Format Invalid. */
export const notText = new Fault('unsupported-media-type', 'The payload is said to be UTF-8, and is not.');

function readValue(reader: PacketReader, { name, kind }: Rule): unknown {
  switch (kind) {
    case 'byte':
      return reader.byte();
    case 'flag': {
      const value = reader.byte();
      if (value > 1) throw protocolError(`${name} is 0 or 1`);
      return value;
    }
    case 'uint16':
      return reader.uint16();
    case 'uint32':
      return reader.uint32();
    case 'varint':
      return reader.varint();
    case 'text':
      return reader.text();
    default:
      return Buffer.from(reader.binary());
  }
}
