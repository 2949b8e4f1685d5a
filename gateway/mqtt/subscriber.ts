/** A session that hears of messages: its subscriptions as they are in force, and where what it hears goes. */
import { filterMatches } from '#common/topic-match.ts';
import type { Outbound } from './outbound.ts';
import type { Grant, Message } from './parcel.ts';
import { noIdentifiers } from './publish-packet.ts';
import { shareOf } from './topic.ts';

/** One subscription (section 3.8.3.1). */
export interface Subscription {
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly identifier: number | undefined;
}

/** What the name of a message has behind it when a session's store has it for another reason than a subscription. */
export const retainedMark = '/retained';
const shareMark = '/$share/';

/** The name of a message that a session has through a share. */
export const sharedName = (brokerId: string, filter: string): string => `${brokerId}/${filter}`;

export class Subscriber {
  readonly clientId: string;
  readonly outbound: Outbound;
  /** Whether the broker's store has its messages: known before it subscribes to anything. */
  stored: boolean;
  readonly subscriptions = new Map<string, Subscription>();

  constructor(clientId: string, outbound: Outbound, stored: boolean) {
    this.clientId = clientId;
    this.outbound = outbound;
    this.stored = stored;
  }

  /** How a message that was stored for it is sent: by what it subscribes to now, else as it was published. */
  grantOf(message: Message): Grant {
    const { topic, qos, packet } = message;
    const { brokerId } = packet;
    const at = brokerId.indexOf(shareMark);
    const shared = at < 0 ? undefined : this.subscriptions.get(brokerId.slice(at + 1));
    let grant: Grant | undefined;
    if (shared) grant = added(grant, shared, message);
    else if (at < 0) {
      const levels = topic.split('/');
      for (const subscription of this.subscriptions.values()) {
        const { filter } = subscription;
        if (shareOf(filter) === null && filterMatches(filter.split('/'), levels))
          grant = added(grant, subscription, message);
      }
    }
    grant ??= { qos, retain: false, identifiers: noIdentifiers };
    if (brokerId.endsWith(retainedMark)) grant.retain = true;
    return grant;
  }
}

/** A grant with one more subscription that matches: the highest QoS [MQTT-3.3.4-2], all identifiers [MQTT-3.3.4-4]. */
export function added(
  grant: Grant | undefined,
  { qos, retainAsPublished, identifier }: Subscription,
  message: Message,
): Grant {
  const granted = qos < message.qos ? qos : message.qos;
  const retain = retainAsPublished && message.retain; // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
  const own = identifier === undefined ? noIdentifiers : [identifier];
  if (grant === undefined) return { qos: granted, retain, identifiers: own };
  if (granted > grant.qos) grant.qos = granted;
  if (retain) grant.retain = true;
  if (identifier !== undefined) grant.identifiers = [...grant.identifiers, identifier];
  return grant;
}
