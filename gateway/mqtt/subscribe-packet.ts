/** SUBSCRIBE and UNSUBSCRIBE (MQTT 5, sections 3.8 and 3.10), read strictly: the broker behind never sees their bytes. */
import type { MqttSettings } from '../settings.ts';
import { malformed, PacketReader, protocolError } from './packet-reader.ts';
import { noProperties, readProperties } from './properties.ts';
import { checkTopicFilter } from './topic.ts';

export interface AskedSubscription {
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: number;
}

export interface Subscribe {
  readonly packetId: number;
  readonly subscriptionIdentifier: number | undefined;
  readonly subscriptions: readonly AskedSubscription[];
}

export interface Unsubscribe {
  readonly packetId: number;
  readonly filters: readonly string[];
}

export function readSubscribe(
  data: Buffer,
  start: number,
  end: number,
  version: 4 | 5,
  settings: MqttSettings,
): Subscribe {
  const reader = new PacketReader(data, start, end);
  const packetId = readPacketId(reader);
  const properties =
    version === 5 ? readProperties(reader, 'subscribe', settings.maxUserProperties) : noProperties;
  if (properties.subscriptionIdentifier === 0) throw protocolError('the subscription identifier is 0'); // [MQTT-3.8.3-1]
  const subscriptions: AskedSubscription[] = [];
  while (reader.left > 0) {
    const filter = reader.text();
    checkTopicFilter(filter, settings);
    const options = reader.byte();
    subscriptions.push(readOptions(filter, options, version));
  }
  if (subscriptions.length === 0) throw protocolError('SUBSCRIBE without a filter'); // [MQTT-3.8.3-2]
  if (subscriptions.length > settings.maxSubscriptions)
    throw protocolError('too many filters in one SUBSCRIBE');
  return { packetId, subscriptionIdentifier: properties.subscriptionIdentifier, subscriptions };
}

function readOptions(filter: string, options: number, version: 4 | 5): AskedSubscription {
  const qos = options & 3;
  const retainHandling = (options >> 4) & 3;
  const reserved = version === 5 ? options & 0xc0 : options & 0xfc;
  if (qos === 3 || reserved !== 0 || retainHandling === 3)
    throw malformed('a reserved subscription option is set'); // [MQTT-3.8.3-5]
  const noLocal = (options & 4) !== 0;
  if (noLocal && filter.startsWith('$share/')) throw protocolError('No Local on a shared subscription'); // [MQTT-3.8.3-4]
  return { filter, qos: qos as 0 | 1 | 2, noLocal, retainAsPublished: (options & 8) !== 0, retainHandling };
}

export function readUnsubscribe(
  data: Buffer,
  start: number,
  end: number,
  version: 4 | 5,
  settings: MqttSettings,
): Unsubscribe {
  const reader = new PacketReader(data, start, end);
  const packetId = readPacketId(reader);
  if (version === 5) readProperties(reader, 'unsubscribe', settings.maxUserProperties);
  const filters: string[] = [];
  while (reader.left > 0) {
    const filter = reader.text();
    checkTopicFilter(filter, settings);
    filters.push(filter);
  }
  if (filters.length === 0) throw protocolError('UNSUBSCRIBE without a filter'); // [MQTT-3.10.3-2]
  return { packetId, filters };
}

/** Never 0 [MQTT-2.2.1-3]. */
export function readPacketId(reader: PacketReader): number {
  const packetId = reader.uint16();
  if (packetId === 0) throw protocolError('packet identifier 0');
  return packetId;
}
