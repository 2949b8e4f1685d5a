/**
 * The commands of one MQTT session: taken from the mailbox of its device while it is subscribed to them, sent at QoS 1 within
 * the client's Receive Maximum and ours, and delivered when the client has acknowledged them.
 */
import type { Clock } from '#common/clock.ts';
import type { CommandOffer } from '#common/contract/command.ts';
import type { DeviceId } from '#common/identity.ts';
import type { CommandDesk } from '../commands/desk.ts';
import type { Place, Taker } from '../commands/taker.ts';
import { commandTopic, responseTopic } from './command-topic.ts';
import type { Tongue } from './dialect.ts';
import type { Dispatch, Ending } from './dispatch.ts';
import type { Properties } from './properties.ts';
import { noIdentifiers, publishBytes } from './publish-packet.ts';
import type { Speaker } from './speaker.ts';

export interface CommandSessionParts {
  readonly speaker: Speaker;
  /** Null when it speaks in our own topics alone. */
  readonly tongue: Tongue | null;
  readonly commands: CommandDesk;
  readonly clock: Clock;
  readonly settings: { readonly maxCommandsInFlight: number };
}

export class CommandSession implements Taker {
  readonly #parts: CommandSessionParts;
  #place: Place | null = null;
  #qos: 0 | 1 = 1;
  #held = 0;
  /** Packet ids of what is not acknowledged, by command. */
  readonly #ids: Map<string, number>;
  #filter = '';
  #identifiers: readonly number[] = noIdentifiers;

  /** `restored`: a stored session is back, with what it had not acknowledged. */
  constructor(parts: CommandSessionParts, restored: boolean) {
    this.#parts = parts;
    const known = parts.commands.resends.take(parts.speaker.clientId);
    this.#ids = new Map(restored ? known : undefined);
  }

  /** The QoS of the subscription to commands, its filter, and the identifiers of all that match [MQTT-3.3.4-3]; null when there is none any more. */
  adjust(qos: 0 | 1 | 2 | null, filter: string, identifiers: readonly number[]): void {
    if (qos === null) return this.leave();
    this.#filter = filter;
    this.#identifiers = identifiers;
    this.#qos = qos === 0 ? 0 : 1;
    const { commands, speaker } = this.#parts;
    this.#place ??= commands.join(speaker.device as DeviceId, this);
  }

  /** What is not acknowledged goes to another session, or to the next one. */
  leave(): void {
    const place = this.#place;
    this.#place = null;
    this.#held = 0;
    const { speaker, commands } = this.#parts;
    if (place && speaker.sessionExpirySeconds > 0) commands.resends.keep(speaker.clientId, this.#ids);
    place?.leave();
  }

  get room(): number {
    const { speaker, settings } = this.#parts;
    // Rights are asked for again: they may have been withdrawn since it subscribed.
    if (speaker.rights.maySubscribe(`devices/${speaker.device}/commands/#`) === null) return 0;
    return Math.min(settings.maxCommandsInFlight, speaker.outboundMaximum) - this.#held;
  }

  give(command: CommandOffer): void {
    const { speaker, tongue } = this.#parts;
    const place = this.#place!;
    const topic =
      tongue?.commandTopic(this.#filter, command.id, command.name) ??
      commandTopic(speaker.device, command.id, command.name);
    const payload = Buffer.from(command.payload, 'base64');
    const properties = speaker.version === 5 ? this.#propertiesOf(command) : undefined;
    this.#held += 1;
    if (this.#qos === 0) {
      const message = { topic, payload, qos: 0 as const, retain: false, duplicate: false, packetId: 0 };
      speaker.write(
        publishBytes(
          { ...message, properties: properties ?? {}, subscriptionIdentifiers: this.#identifiers },
          speaker.version,
        ),
      );
      // At most once is what the session asked for.
      queueMicrotask(() => this.#ended(place, command.id, 'acknowledged'));
      return;
    }
    const again = this.#ids.get(command.id);
    const dispatch: Dispatch = {
      topic,
      payload,
      identifiers: this.#identifiers,
      sent: (packetId) => void this.#ids.set(command.id, packetId),
      ...(properties && { properties }),
      ...(again !== undefined && { again }),
    };
    speaker.outbound.send(dispatch, (ending) => this.#ended(place, command.id, ending));
  }

  nothing(): void {
    // The subscription goes on.
  }

  #ended(place: Place, id: string, ending: Ending): void {
    if (place !== this.#place || ending === 'closed') return;
    this.#held -= 1;
    this.#ids.delete(id);
    // Refused is delivered too: the client has it, and is not to be sent it again (MQTT 5, section 4.4).
    if (ending === 'too-large') place.passOver(id);
    else place.delivered(id);
  }

  #propertiesOf({ id, contentType, expiresMs }: CommandOffer): Properties {
    const { speaker, clock } = this.#parts;
    return {
      messageExpiry: Math.max(1, Math.ceil((expiresMs - clock.now()) / 1000)),
      ...(contentType !== '' && { contentType }),
      responseTopic: responseTopic(speaker.device, id),
      correlationData: Buffer.from(id),
    };
  }
}
