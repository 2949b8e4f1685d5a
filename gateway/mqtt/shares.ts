/**
 * Shared subscriptions (MQTT 5, section 4.8.2): of the members of a group one gets each message. Those that are gone,
 * that may not hear it or for which too much is waiting are passed over; what a member leaves unacknowledged goes to
 * another. Of a group at several processes that are neighbours, one process gives each message.
 */
import { FilterTree } from './filter-tree.ts';
import type { BrokerPacket, Grant, Message, Parcel } from './parcel.ts';
import { type SessionStore, StoredQueue } from './stored-queue.ts';
import { added, type Subscriber, type Subscription, sharedName } from './subscriber.ts';
import { shareOf } from './topic.ts';

interface Member {
  readonly clientId: string;
  /** Null while its session is kept and it is away. */
  subscriber: Subscriber | null;
  readonly subscription: Subscription;
}

interface Share {
  /** The whole `$share/<group>/<filter>`. */
  readonly name: string;
  readonly members: Map<string, Member>;
  /** Messages given so far: whose turn it is. */
  turn: number;
}

export class Shares {
  readonly #tree = new FilterTree<Share>();
  readonly #shares = new Map<string, Share>();
  readonly #store: () => SessionStore;
  /** Hands a message of a share to a neighbour that has members; false when none has. */
  elsewhere: (name: string, packet: BrokerPacket) => boolean = () => false;

  constructor(store: () => SessionStore) {
    this.#store = store;
  }

  /** A session joins; `subscriber` is null for one that is kept and away. */
  join(clientId: string, subscriber: Subscriber | null, subscription: Subscription): void {
    const name = subscription.filter;
    let share = this.#shares.get(name);
    if (!share) {
      share = { name, members: new Map(), turn: 0 };
      this.#shares.set(name, share);
      this.#tree.add(shareOf(name)!.filter, share);
    }
    share.members.set(clientId, { clientId, subscriber, subscription });
  }

  leave(clientId: string, name: string): void {
    const share = this.#shares.get(name);
    if (!share) return;
    share.members.delete(clientId);
    if (share.members.size > 0) return;
    this.#shares.delete(name);
    this.#tree.remove(shareOf(name)!.filter, share);
  }

  /** The connection of a member is over. One whose session is kept gets what nobody else can take. */
  away(subscriber: Subscriber, kept: boolean): void {
    for (const { filter, qos } of subscriber.subscriptions.values()) {
      if (shareOf(filter) === null) continue;
      const member = this.#shares.get(filter)?.members.get(subscriber.clientId);
      if (member?.subscriber !== subscriber) continue;
      if (kept && qos > 0) member.subscriber = null;
      else this.leave(subscriber.clientId, filter);
    }
  }

  /** The session is gone for good. */
  forget(clientId: string): void {
    for (const [name, { members }] of this.#shares) {
      if (members.get(clientId)?.subscriber === null) this.leave(clientId, name);
    }
  }

  /** Hands a message to one member of every group that matches and is served here. */
  deliver(message: Message): void {
    if (this.#shares.size === 0) return;
    const { shares, sharesElsewhere } = message.packet;
    this.#tree.match(message.topic, (share) => {
      if (shares?.includes(share.name) === false || sharesElsewhere?.includes(share.name)) return;
      this.#give(share, message);
    });
  }

  #give(share: Share, message: Message): void {
    const member = choose(share, message.topic);
    share.turn += 1;
    if (member) return this.#send(share, member, member.subscriber!, message);
    // Nobody is here: it waits for one that will come back.
    if (message.qos === 0) return;
    for (const { clientId, subscriber, subscription } of share.members.values()) {
      if (subscriber !== null || subscription.qos === 0) continue;
      void this.#keep(clientId, share, message);
      return;
    }
  }

  async #keep(clientId: string, share: Share, message: Message): Promise<boolean> {
    try {
      await new StoredQueue(this.#store(), clientId).keep(ofShare(share, message).packet);
      return true;
    } catch {
      return false;
    }
  }

  #send(share: Share, { subscription }: Member, subscriber: Subscriber, message: Message): void {
    const shared = ofShare(share, message);
    const grant = added(undefined, subscription, shared);
    if (grant.qos === 0 || !subscriber.stored)
      return subscriber.outbound.push(this.#parcel(share, message, shared, grant, false));
    // In its store first, so that neither a crash nor a return of the client loses it.
    void this.#keep(subscriber.clientId, share, message).then((stored) =>
      subscriber.outbound.push(this.#parcel(share, message, shared, grant, stored)),
    );
  }

  #parcel(share: Share, message: Message, shared: Message, grant: Grant, stored: boolean): Parcel {
    return {
      message: shared,
      ...grant,
      stored,
      ended: (ending, _reasonCode, wasSent) => {
        // Answered with an error it is not for others [MQTT-4.8.2-6]; nor is QoS 2 that was begun [MQTT-4.8.2-5].
        if (ending !== 'closed' || grant.qos === 0 || (wasSent && grant.qos === 2)) return false;
        if (choose(share, message.topic) === null) {
          if (this.elsewhere(share.name, message.packet)) return true;
          // Nobody else: a session that is kept keeps it.
          if (stored) return false;
        }
        this.#give(share, message);
        return true;
      },
    };
  }
}

/** The message as the store of a member has it: the same one may come to a session by several ways. */
const ofShare = ({ name }: Share, message: Message): Message => ({
  ...message,
  packet: { ...message.packet, brokerId: sharedName(message.packet.brokerId, name) },
});

/** Whose turn it is: the next that could send it at once, else the next that has room, else any that is here. */
function choose({ members, turn }: Share, topic: string): Member | null {
  const here = [...members.values()].filter(
    ({ subscriber }) =>
      subscriber !== null && !subscriber.outbound.closed && subscriber.outbound.mayHear(topic),
  );
  const inTurn = here.map((_, index) => here[(turn + index) % here.length]!);
  return (
    inTurn.find(({ subscriber }) => subscriber!.outbound.idle) ??
    inTurn.find(({ subscriber }) => subscriber!.outbound.hasRoom) ??
    inTurn[0] ??
    null
  );
}
