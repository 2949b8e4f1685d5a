/**
 * A device's answers to commands, over its session: taken by the gateway, recorded by the registry, acknowledged when they
 * are. They never hold up the acknowledgements of telemetry, and never meet the broker but for those who listen to them.
 */
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import { mayRetry, type Replies } from '../commands/replies.ts';
import { bareAcknowledgement } from './answers.ts';
import type { Broker } from './broker.ts';
import type { ReplyTarget } from './command-topic.ts';
import type { Lane, Publish } from './lane.ts';
import type { Speaker } from './speaker.ts';

export interface CommandRepliesParts {
  readonly speaker: Speaker;
  readonly lane: Lane;
  readonly broker: Broker;
  readonly replies: Replies;
  readonly settings: { readonly maxCommandsInFlight: number };
  /** Refuses a PUBLISH in the words of its protocol. */
  refuse(publish: Refusable, fault: Fault): void;
  /** Says on its error topic what cannot be said otherwise. */
  tell(publish: Refusable, fault: Fault): void;
}

export type Refusable = Pick<Publish, 'packetId' | 'route' | 'qos'>;

export class CommandReplies {
  readonly #parts: CommandRepliesParts;
  #underWay = 0;
  #waits = false;

  constructor(parts: CommandRepliesParts) {
    this.#parts = parts;
  }

  /** False when as many as may are under way: then nothing is read until one is recorded. */
  take(publish: Publish, { id, status }: ReplyTarget): boolean {
    const { speaker, lane, settings } = this.#parts;
    if (this.#underWay >= settings.maxCommandsInFlight) {
      this.#waits = true;
      speaker.hold();
      return false;
    }
    const { qos, packetId, route, properties } = publish;
    if (qos === 2 && !lane.beginQos2(packetId)) return true;
    // The payload is the socket's own bytes, and `publish` is the next packet's too.
    const payload = Buffer.from(publish.payload);
    const contentType = properties.contentType ?? '';
    const device = speaker.device as DeviceId;
    this.#underWay += 1;
    this.#parts.replies
      .send({ id, device, status, contentType, payload: payload.toString('base64') })
      .then(
        () => this.#recorded({ qos, packetId, route }, payload, contentType),
        (thrown) => this.#refused({ qos, packetId, route }, Fault.of(thrown)),
      )
      .finally(() => this.#settled());
    return true;
  }

  #recorded(publish: Refusable, payload: Buffer, contentType: string): void {
    const { broker } = this.#parts;
    this.#acknowledge(publish);
    const { topic } = publish.route;
    if (broker.wants(topic)) broker.deliver(topic, payload, publish.qos, contentType);
  }

  #acknowledge({ qos, packetId }: Refusable): void {
    const { speaker, lane } = this.#parts;
    if (qos === 0) return;
    if (qos === 2) lane.qos2Received(packetId);
    speaker.write(bareAcknowledgement(qos === 1 ? 0x40 : 0x50, packetId));
  }

  /** What may be taken later is not acknowledged; what never will be is, in 3.1.1, since it would come again for ever. */
  #refused(publish: Refusable, fault: Fault): void {
    const { speaker, lane, refuse, tell } = this.#parts;
    if (speaker.version === 4 && !mayRetry(fault)) {
      this.#acknowledge(publish);
      tell(publish, fault);
      return;
    }
    if (publish.qos === 2) {
      // A PUBREC that refuses ends the exchange: the packet id is free again (MQTT 5, section 4.3.3).
      lane.qos2Received(publish.packetId);
      lane.release(publish.packetId);
    }
    if (publish.qos === 0) tell(publish, fault);
    else refuse(publish, fault);
  }

  #settled(): void {
    this.#underWay -= 1;
    if (!this.#waits) return;
    this.#waits = false;
    this.#parts.speaker.release();
  }
}
