/**
 * Where messages meet subscriptions: the broker emits here, and every session that subscribes gets a message once, as its
 * matching subscriptions grant together (MQTT 5, section 3.3.4). It stands in the place of the broker's own emitter, which
 * knows neither: there the first subscription that matches decides, and messages that overtake each other are dropped.
 */
import { filterMatches } from '#common/topic-match.ts';
import { FilterTree } from './filter-tree.ts';
import type { Outbound } from './outbound.ts';
import { type BrokerPacket, type Grant, messageOf } from './parcel.ts';
import type { Shares } from './shares.ts';
import { added, Subscriber, type Subscription } from './subscriber.ts';
import { shareOf } from './topic.ts';

/** A listener of the broker itself. */
type Listener = (packet: BrokerPacket, done: () => void) => void;

/** Stands for the subscriptions of sessions, which are not called through it. */
const unheard: Listener = () => {};

interface Held {
  readonly subscriber: Subscriber;
  readonly subscription: Subscription;
}

export class Exchange {
  readonly #tree = new FilterTree<Held>();
  readonly #held = new Map<Subscriber, Map<string, Held>>();
  readonly #byClient = new Map<string, Subscriber>();
  #listeners: { readonly filter: readonly string[]; readonly listener: Listener }[] = [];
  readonly #shares: Shares;

  constructor(shares: Shares) {
    this.#shares = shares;
  }

  /** A session is attached; an older one of the same client hears nothing any more. */
  enter(clientId: string, outbound: Outbound, stored: boolean): Subscriber {
    const older = this.#byClient.get(clientId);
    if (older) this.leave(older, true);
    const subscriber = new Subscriber(clientId, outbound, stored);
    this.#byClient.set(clientId, subscriber);
    this.#held.set(subscriber, new Map());
    return subscriber;
  }

  /** Its connection is over; `kept` says whether the session is. */
  leave(subscriber: Subscriber, kept: boolean): void {
    const held = this.#held.get(subscriber);
    if (!held) return;
    for (const one of held.values()) this.#tree.remove(one.subscription.filter, one);
    for (const filter of subscriber.subscriptions.keys()) this.removeListener(filter, unheard);
    this.#shares.away(subscriber, kept);
    this.#held.delete(subscriber);
    if (this.#byClient.get(subscriber.clientId) === subscriber) this.#byClient.delete(subscriber.clientId);
  }

  /** The session of a client is gone for good. */
  forget(clientId: string): void {
    this.#shares.forget(clientId);
  }

  /**
   * Puts a subscription into force in the place of one with the same filter [MQTT-3.8.4-3]. Resolves when everybody knows
   * who is to know.
   */
  subscribe(subscriber: Subscriber, subscription: Subscription): Promise<void> {
    const { filter } = subscription;
    const isNew = !subscriber.subscriptions.has(filter);
    const held = this.#held.get(subscriber);
    if (!held) return Promise.resolve();
    subscriber.subscriptions.set(filter, subscription);
    if (shareOf(filter) !== null) {
      this.#shares.join(subscriber.clientId, subscriber, subscription);
    } else {
      const older = held.get(filter);
      if (older) this.#tree.remove(filter, older);
      const one = { subscriber, subscription };
      held.set(filter, one);
      this.#tree.add(filter, one);
    }
    return isNew ? new Promise((known) => void this.on(filter, unheard, known)) : Promise.resolve();
  }

  /** Whether there was such a subscription. */
  unsubscribe(subscriber: Subscriber, filter: string): boolean {
    if (!subscriber.subscriptions.delete(filter)) return false;
    this.removeListener(filter, unheard);
    if (shareOf(filter) !== null) this.#shares.leave(subscriber.clientId, filter);
    const held = this.#held.get(subscriber);
    const one = held?.get(filter);
    held?.delete(filter);
    if (one) this.#tree.remove(filter, one);
    return true;
  }

  /** For the broker: its own listeners, few and on `$SYS`. What sessions subscribe to passes here too, for who counts it. */
  on(filter: string, listener: Listener, done?: () => void): this {
    if (listener !== unheard) this.#listeners.push({ filter: filter.split('/'), listener });
    if (done) queueMicrotask(done);
    return this;
  }

  removeListener(_filter: string, listener: Listener, done?: () => void): this {
    if (listener !== unheard) this.#listeners = this.#listeners.filter((one) => one.listener !== listener);
    if (done) queueMicrotask(done);
    return this;
  }

  /** For the broker: hands a message to everybody who subscribes. Nobody is waited for: what waits is bounded for each. */
  emit(packet: BrokerPacket, done?: () => void): this {
    if (packet.topic.startsWith('$SYS/')) this.#tellListeners(packet);
    const message = messageOf(packet);
    if (packet.sharesOnly) {
      this.#shares.deliver(message);
      done?.();
      return this;
    }
    const grants = new Map<Subscriber, Grant>();
    this.#tree.match(packet.topic, ({ subscriber, subscription }) => {
      // [MQTT-3.8.3-3]
      if (subscription.noLocal && packet.clientId === subscriber.clientId) return;
      grants.set(subscriber, added(grants.get(subscriber), subscription, message));
    });
    for (const [{ outbound, stored }, grant] of grants)
      outbound.push({ message, ...grant, stored: stored && grant.qos > 0 });
    this.#shares.deliver(message);
    done?.();
    return this;
  }

  close(done?: () => void): this {
    if (done) queueMicrotask(done);
    return this;
  }

  #tellListeners(packet: BrokerPacket): void {
    const levels = packet.topic.split('/');
    for (const { filter, listener } of this.#listeners)
      if (filterMatches(filter, levels)) listener(packet, () => {});
  }
}
