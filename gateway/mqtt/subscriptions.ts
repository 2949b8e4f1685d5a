/**
 * What a session subscribes to: SUBSCRIBE and UNSUBSCRIBE judged by its rights and answered. Most of it goes to the broker;
 * a session that is not kept has its private topics without one. Whoever subscribes to its commands gets them.
 */
import { Fault } from '#common/fault.ts';
import { denial } from '../sessions/rights.ts';
import type { MqttSettings } from '../settings.ts';
import { refusedSuback5, suback, unsuback } from './answers.ts';
import { CommandSession, type CommandSessionParts } from './command-session.ts';
import { coversCommands } from './command-topic.ts';
import { isPrivate, PrivateTopics } from './private-topics.ts';
import { type AskedSubscription, readSubscribe, readUnsubscribe } from './subscribe-packet.ts';

export interface SubscriptionsParts extends CommandSessionParts {
  readonly settings: MqttSettings;
}

/** Reason code of UNSUBACK (MQTT 5, section 3.11.3). */
const noSubscriptionExisted = 0x11;

const notGranted = (filter: string): Fault =>
  new Fault('topic-not-allowed', `This device may not subscribe to ${filter}.`);

export class Subscriptions {
  readonly #parts: SubscriptionsParts;
  readonly #private = new PrivateTopics();
  #commands: CommandSession | undefined;
  #isRestored = false;

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts;
  }

  get filters(): readonly string[] {
    return [...this.#private.filters, ...(this.#parts.speaker.attached?.filters ?? [])];
  }

  /** Takes a SUBSCRIBE: what the device may hear is subscribed to, the rest refused, filter by filter. */
  subscribe(data: Buffer, start: number, end: number): void {
    const { speaker, settings } = this.#parts;
    const { packetId, subscriptionIdentifier, subscriptions } = readSubscribe(
      data,
      start,
      end,
      speaker.version,
      settings,
    );
    const refused = speaker.version === 5 ? 0x87 : 0x80;
    const codes: number[] = [];
    let why: Fault | null = null;
    const granted = subscriptions.flatMap((asked) => {
      const most = speaker.rights.maySubscribe(this.#meant(asked.filter));
      const code = most === null ? refused : Math.min(asked.qos, most);
      codes.push(code);
      if (code >= 0x80) why ??= denial(speaker.rights, notGranted(asked.filter));
      return code < 0x80 ? [{ ...asked, qos: code as 0 | 1 | 2 }] : [];
    });
    const full = () => codes.map((code) => (code < 0x80 ? (speaker.version === 5 ? 0x97 : 0x80) : code));
    if (granted.length === 0 || this.#areOurs(granted)) {
      const fits = this.#fits(granted);
      if (fits)
        for (const { filter, qos } of granted)
          this.#private.add(filter, { qos, identifier: subscriptionIdentifier });
      this.#answer(packetId, fits ? codes : full(), fits ? why : this.#tooMany());
      return this.#adjust();
    }
    speaker.attachment((attachment) => {
      if (!this.#fits(granted)) {
        this.#answer(packetId, full(), this.#tooMany());
        return speaker.release();
      }
      speaker.hold();
      attachment.subscribe(granted, subscriptionIdentifier, (error) => {
        if (error) return void speaker.end(Fault.of(error), { silence: false });
        this.#answer(packetId, codes, why);
        this.#adjust();
        speaker.release();
      });
    });
  }

  /** SUBACK; why a filter was refused comes with it in 5, and on the error topic in 3.1.1. */
  #answer(packetId: number, codes: readonly number[], why: Fault | null): void {
    const { speaker } = this.#parts;
    if (why === null) return speaker.write(suback(packetId, codes, speaker.version));
    if (speaker.version === 5) return speaker.write(refusedSuback5(packetId, codes, why.message, speaker));
    speaker.write(suback(packetId, codes, 4));
    speaker.tell(new Fault(why.kind, why.message, { fields: { ...why.fields, correlation: packetId } }));
  }

  #tooMany(): Fault {
    const { maxSubscriptions } = this.#parts.settings;
    return new Fault('quota-exceeded', `A session has at most ${maxSubscriptions} subscriptions here.`);
  }

  /** Takes an UNSUBSCRIBE. */
  unsubscribe(data: Buffer, start: number, end: number): void {
    const { speaker, settings } = this.#parts;
    const { packetId, filters } = readUnsubscribe(data, start, end, speaker.version, settings);
    const known = filters.map((filter) => this.#private.delete(filter));
    if (!speaker.attached && this.#isBrief) {
      const codes = known.map((was) => (was ? 0 : noSubscriptionExisted));
      speaker.write(unsuback(packetId, codes, speaker.version));
      return this.#adjust();
    }
    speaker.attachment((attachment) => {
      speaker.hold();
      attachment.unsubscribe(filters, (error, codes) => {
        if (error) return void speaker.end(Fault.of(error), { silence: false });
        const all = codes.map((code, index) => (known[index] ? 0 : code));
        speaker.write(unsuback(packetId, all, speaker.version));
        this.#adjust();
        speaker.release();
      });
    });
  }

  /** A stored session is back: its commands come without being subscribed to anew. */
  restored(): void {
    this.#isRestored = true;
    this.#adjust();
  }

  /** The connection is over: what it had of commands goes back. */
  close(): void {
    this.#commands?.leave();
  }

  /** The session ends with its connection: nothing of it has to be kept in the broker. */
  get #isBrief(): boolean {
    return this.#parts.speaker.sessionExpirySeconds === 0;
  }

  #areOurs(granted: readonly AskedSubscription[]): boolean {
    const { speaker } = this.#parts;
    return this.#isBrief && granted.every(({ filter }) => isPrivate(this.#meant(filter), speaker.device));
  }

  #fits(granted: readonly AskedSubscription[]): boolean {
    const all = new Set([...this.filters, ...granted.map(({ filter }) => filter)]);
    return all.size <= this.#parts.settings.maxSubscriptions;
  }

  /** The filter of ours that is meant by one of another platform. */
  #meant(filter: string): string {
    return this.#parts.tongue?.filterOf(filter) ?? filter;
  }

  /** Takes commands as long as a subscription covers them, at the highest QoS of those, with the identifiers of all. */
  #adjust(): void {
    const { speaker } = this.#parts;
    let most: 0 | 1 | 2 | null = null;
    let by = '';
    const identifiers: number[] = [];
    for (const filter of this.filters) {
      if (!coversCommands(this.#meant(filter), speaker.device)) continue;
      const own = this.#private.get(filter);
      const qos = own?.qos ?? speaker.attached?.qosOf(filter) ?? 0;
      const identifier = own ? own.identifier : speaker.attached?.identifierOf(filter);
      if (identifier !== undefined) identifiers.push(identifier);
      if (most !== null && qos <= most) continue;
      most = qos;
      by = filter;
    }
    if (most === null && !this.#commands) return;
    this.#commands ??= new CommandSession(this.#parts, this.#isRestored);
    this.#commands.adjust(most, by, identifiers);
  }
}
