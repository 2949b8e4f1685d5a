/** Whether a message may go to one client of the broker now, and what aedes' client must have before it is asked. */
import { Fault } from '#common/fault.ts';
import { filterMatches } from '#common/topic-match.ts';
import type { Rights } from '../sessions/rights.ts';
import type { LinkedClient } from './attachment.ts';
import type { OutgoingPacket } from './broker-persistence.ts';
import { Delivery } from './delivery.ts';
import { firstDispatchId } from './outbound.ts';

export interface Forwarding {
  readonly maxQueuedSize: number;
  /** A client has missed a message of QoS 0. */
  missed(): void;
}

/** Whom it is for. */
export interface Recipient {
  readonly rights: Rights;
  readonly maximumPacketSize: number;
  end(fault: Fault, options: { silence: boolean }): Promise<void>;
}

/** Bytes of a PUBLISH besides topic, payload and text properties, generously. */
const publishOverhead = 64;

/** Before aedes looks at a CONNECT. */
export function prepareClient(client: LinkedClient): void {
  // 2.0.0-beta.1 looks names up in plain objects: a filter or client id `constructor` would end the process.
  client.subscriptions = Object.create(null);
  client.duplicates = forgetful;
  client.delivery = new Delivery();
  keepIdsApart(client);
  const deliver0 = client.deliver0.bind(client);
  client.deliver0 = (packet, done) => {
    // Another filter of it wants the message at QoS 1 or 2 [MQTT-3.3.4-2]: it is delivered by that one alone.
    if (packet.qos > 0 && highestQos(client, packet.topic) > 0) return void setImmediate(done);
    client.delivery.atMostOnce = true;
    deliver0(packet, done);
    client.delivery.atMostOnce = false;
  };
}

/** Whether aedes may send it. What is left in the queue is marked. */
export function mayForward(
  { conn, subscriptions, delivery }: LinkedClient,
  guest: Recipient,
  packet: OutgoingPacket,
  { maxQueuedSize, missed }: Forwarding,
): boolean {
  if (!guest.rights.mayReceive(packet.topic)) return false;
  if (packet.messageId === undefined) {
    if (delivery.judge(packet, conn.stored) !== 'now') {
      packet.waits = true;
      return false;
    }
    // aedes would send it without a look at the queue, which knows best whether the flag is to be set.
    if (conn.stored && packet.brokerId && packet.qos > 0 && !delivery.atMostOnce) packet.retain = false;
  }
  if (conn.writableLength > maxQueuedSize) {
    // At most once may be missed. At least once may not: the session goes on when the client comes back.
    const atMostOnce = packet.qos === 0 || Object.values(subscriptions).every(({ qos }) => qos === 0);
    if (atMostOnce) {
      missed();
      return false;
    }
    void guest.end(overQueue(maxQueuedSize), { silence: false });
  }
  // A packet that the client said it cannot take is not sent [MQTT-3.1.2-24].
  const size = packet.topic.length + packet.payload.length + publishOverhead;
  return size <= guest.maximumPacketSize;
}

const overQueue = (limit: number) =>
  new Fault('quota-exceeded', `More than ${limit} bytes wait to be read by this client.`);

/** aedes would drop what it has not seen yet when its number is lower than what it has: `Delivery` knows better. */
const forgetful = new Proxy({}, { get: () => 0, set: () => true });

function highestQos({ subscriptions }: LinkedClient, topic: string): number {
  const levels = topic.split('/');
  let highest = 0;
  for (const [filter, { qos }] of Object.entries(subscriptions))
    if (qos > highest && filterMatches(filter.split('/'), levels)) highest = qos;
  return highest;
}

/** The broker's packet ids stay below those of what comes from beside it. */
function keepIdsApart(client: LinkedClient): void {
  let next = 1;
  Object.defineProperty(client, '_nextId', {
    get: () => next,
    set: (value: number) => {
      next = value < firstDispatchId ? value : 1;
    },
  });
}
