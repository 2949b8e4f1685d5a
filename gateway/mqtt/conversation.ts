/**
 * What an admitted session says, packet by packet. Telemetry goes down the lane; subscriptions and other publishes go to
 * the broker by call; acknowledgements end what is outbound. Each handler says whether the packet was taken: one that was
 * not stays in the buffer until there is room.
 */
import { isUtf8 } from 'node:buffer';
import { Fault } from '#common/fault.ts';
import type { Metrics } from '#common/metrics.ts';
import type { Replies } from '../commands/replies.ts';
import type { Pace } from '../limits/pace.ts';
import { denial } from '../sessions/rights.ts';
import type { MqttSettings } from '../settings.ts';
import type { Intake } from '../telemetry/intake.ts';
import { readAcknowledgement } from './acknowledgement.ts';
import {
  bareAcknowledgement,
  noMatchingSubscribers,
  pingresp,
  refusedPublish5,
  unknownPacketId5,
} from './answers.ts';
import type { Broker } from './broker.ts';
import { CommandReplies, type Refusable } from './command-replies.ts';
import type { CommandSessionParts } from './command-session.ts';
import type { Tongue } from './dialect.ts';
import type { Lane, Publish } from './lane.ts';
import { malformed, PacketReader, protocolError } from './packet-reader.ts';
import { noProperties, notText, readProperties } from './properties.ts';
import { refusals } from './refusals.ts';
import type { Renewals } from './renewal.ts';
import type { Speaker } from './speaker.ts';
import { Subscriptions } from './subscriptions.ts';

export interface ConversationParts extends Pick<CommandSessionParts, 'commands' | 'clock'> {
  speaker: Speaker;
  /** Null when it speaks in our own topics alone. */
  tongue: Tongue | null;
  lane: Lane;
  intake: Intake;
  broker: Broker;
  renewals: Renewals;
  replies: Replies;
  settings: MqttSettings;
  metrics: Metrics;
}

/** Read and used within one call: one a process is enough. */
const publish: Publish = {
  route: {
    bytes: Buffer.alloc(0),
    topic: '',
    class: null,
    channel: '',
    contentType: '',
    renews: false,
    reply: null,
    maxQos: -1,
  },
  qos: 0,
  duplicate: false,
  retain: false,
  packetId: 0,
  properties: noProperties,
  payload: Buffer.alloc(0),
};

/** Flags of the fixed header that a packet type must have; -1 where they vary (MQTT 5, section 2.1.3). */
const requiredFlags = [-1, 0, -1, -1, 0, 0, 2, 0, 2, -1, 2, -1, 0, -1, 0, 0];

const disconnectWithWill = 0x04;

export class Conversation {
  readonly #parts: ConversationParts;
  #subscribing: Subscriptions | undefined;
  #replies: CommandReplies | undefined;

  constructor(parts: ConversationParts) {
    this.#parts = parts;
  }

  /** Made when there is something to subscribe to: most devices only speak. */
  get #subscriptions(): Subscriptions {
    this.#subscribing ??= new Subscriptions(this.#parts);
    return this.#subscribing;
  }

  /** What the session has subscribed to. */
  get filters(): readonly string[] {
    return this.#subscribing?.filters ?? [];
  }

  /** A stored session is back, with what it had subscribed to. */
  restored(): void {
    this.#subscriptions.restored();
  }

  /** The connection is over. */
  close(): void {
    this.#subscribing?.close();
  }

  /** Takes one packet: its first byte, and its body between `start` and `end`. Faults end the connection. */
  take(head: number, data: Buffer, start: number, end: number): boolean {
    const type = head >> 4;
    if (type === 3) return this.#publish(head, data, start, end);
    if (requiredFlags[type] !== (head & 15))
      throw malformed('flags of its header are wrong, or it comes from servers only'); // [MQTT-2.1.3-1]
    const { speaker, settings } = this.#parts;
    switch (type) {
      case 1:
        throw protocolError('a second CONNECT'); // [MQTT-3.1.0-2]
      case 4:
      case 5:
      case 7: {
        const { packetId, reasonCode } = readAcknowledgement(
          data,
          start,
          end,
          speaker.version,
          settings.maxUserProperties,
        );
        speaker.outbound.acknowledge(type, packetId, reasonCode);
        return true;
      }
      case 6:
        this.#pubrel(
          readAcknowledgement(data, start, end, speaker.version, settings.maxUserProperties).packetId,
        );
        return true;
      case 8:
        this.#subscriptions.subscribe(data, start, end);
        return true;
      case 10:
        this.#subscriptions.unsubscribe(data, start, end);
        return true;
      case 12:
        if (start !== end) throw malformed('PINGREQ with a body');
        speaker.write(pingresp);
        return true;
      case 14:
        this.#disconnect(data, start, end);
        return true;
      default:
        throw protocolError(`packet type ${type} from a client`);
    }
  }

  #publish(head: number, data: Buffer, start: number, end: number): boolean {
    const { lane } = this.#parts;
    lane.read(head, data, start, end, publish);
    return lane.pace === null ? this.#carry() : this.#carryInPace(lane.pace, end - start);
  }

  /** Within the limits of its device: held back, or dropped when it is QoS 0. */
  #carryInPace(pace: Pace, bytes: number): boolean {
    const { speaker, metrics } = this.#parts;
    const waitMs = pace.ask(publish, bytes);
    if (waitMs === 0) {
      const taken = this.#carry();
      if (taken) pace.taken();
      return taken;
    }
    if (publish.qos === 0) {
      metrics.messagesRefusedTotal.inc({ reason: 'message-rate' });
      return true;
    }
    speaker.hold();
    pace.later(waitMs, () => speaker.release());
    return false;
  }

  /** What was read into `publish`. */
  #carry(): boolean {
    const { lane, intake, speaker, settings } = this.#parts;
    const { route, qos, retain, properties } = publish;
    if (properties.payloadFormat === 1 && !isUtf8(publish.payload))
      return this.#refusePublish(publish, notText);
    if (qos > route.maxQos) return this.#refusePublish(publish, this.#notAllowed(route.topic));
    if (qos > 0 && lane.inFlight >= settings.receiveMaximum) return this.#tooMany();
    if (route.class === null) {
      if (retain && !speaker.rights.mayPublish(route.topic, qos, true))
        return this.#refusePublish(publish, this.#notAllowed(route.topic));
      if (route.reply) return this.#answers().take(publish, route.reply);
      return route.renews ? this.#renew(publish) : this.#toBroker(publish);
    }
    if (route.class === 'event' && qos === 0) {
      return this.#refusePublish(
        publish,
        new Fault('topic-not-allowed', 'Events are published with QoS 1 or 2: they are never dropped.'),
      );
    }
    if (!intake.full) {
      lane.accept(publish);
      return true;
    }
    if (qos === 0) {
      intake.dropped();
      return true;
    }
    speaker.hold();
    intake.whenRoom(() => speaker.release());
    return false;
  }

  /** MQTT 5 was told our Receive Maximum [MQTT-3.3.4-9]; 3.1.1 was not, so it just waits. */
  #tooMany(): boolean {
    const { speaker, settings } = this.#parts;
    if (speaker.version === 5) {
      throw new Fault(
        'receive-maximum',
        `More than ${settings.receiveMaximum} publishes are waiting for their acknowledgement.`,
      );
    }
    speaker.hold();
    return false;
  }

  #toBroker({ route, qos, retain, packetId, properties, payload }: Publish): boolean {
    const { broker, speaker, lane } = this.#parts;
    if (qos === 2 && !lane.beginQos2(packetId)) return true;
    // The payload is copied: the broker keeps it longer than the socket's buffer lives.
    const { device, clientId } = speaker;
    const bytes = Buffer.from(payload);
    const message = { topic: route.topic, payload: bytes, qos, retain, properties, device, clientId };
    if (qos === 0) {
      broker.publish(message, () => {});
      return true;
    }
    speaker.hold();
    const request = { qos, packetId, route };
    broker.publish(message, (error) => {
      if (error) return this.#notTaken(request, Fault.of(error));
      if (qos === 2) lane.qos2Received(packetId);
      speaker.write(
        qos === 2
          ? bareAcknowledgement(0x50, packetId)
          : Buffer.from([0x40, 2, packetId >> 8, packetId & 0xff]),
      );
      speaker.release();
    });
    return true;
  }

  /** No room for one more retained message is no reason to leave; a disk that fails is. */
  #notTaken(request: Refusable, fault: Fault): void {
    const { speaker, lane } = this.#parts;
    if (fault.kind !== 'quota-exceeded' || speaker.version === 4)
      return void speaker.end(fault, { silence: false });
    if (request.qos === 2) lane.qos2Refused(request.packetId);
    this.#refusePublish(request, fault);
    speaker.release();
  }

  /**
   * Acknowledged when the gateway has it, not when it is answered: the answer is a message of its own, and a PUBACK that
   * waits for the registry would hold up the device's telemetry, whose acknowledgements come in order.
   */
  #renew(request: Publish): boolean {
    const { renewals, lane, speaker } = this.#parts;
    const { qos, packetId } = request;
    if (qos === 2 && !lane.beginQos2(packetId)) return true;
    const heard = renewals.take(speaker, request);
    if (qos === 2) lane.qos2Received(packetId);
    const type = qos === 2 ? 0x50 : 0x40;
    if (heard || speaker.version === 4) {
      if (qos > 0) speaker.write(bareAcknowledgement(type, packetId));
    } else if (qos > 0) {
      speaker.write(refusedPublish5(type, packetId, noMatchingSubscribers, deaf.message, speaker));
    }
    if (!heard) speaker.tell(about(request, deaf));
    return true;
  }

  /** Made when a first command is answered. */
  #answers(): CommandReplies {
    this.#replies ??= new CommandReplies({
      ...this.#parts,
      refuse: (publish, fault) => void this.#refusePublish(publish, fault),
      tell: (publish, fault) => {
        this.#parts.metrics.messagesRefusedTotal.inc({ reason: fault.kind });
        this.#parts.speaker.tell(about(publish, fault));
      },
    });
    return this.#replies;
  }

  #pubrel(packetId: number): void {
    const { speaker, lane } = this.#parts;
    const known = lane.release(packetId);
    speaker.write(
      known || speaker.version === 4 ? bareAcknowledgement(0x70, packetId) : unknownPacketId5(packetId),
    );
  }

  /**
   * MQTT 5 has a word for it in its acknowledgement, and none at QoS 0; it stays. 3.1.1 has none at all: the connection
   * ends. What has no word is told on the error topic.
   */
  #refusePublish(request: Refusable, fault: Fault): boolean {
    const { speaker, metrics } = this.#parts;
    const { qos, packetId } = request;
    metrics.messagesRefusedTotal.inc({ reason: fault.kind });
    if (speaker.version === 4) {
      void speaker.end(about(request, fault), { silence: false });
    } else if (qos > 0) {
      const code = refusals[fault.kind].puback5;
      speaker.write(refusedPublish5(qos === 1 ? 0x40 : 0x50, packetId, code, fault.message, speaker));
    } else speaker.tell(about(request, fault));
    return true;
  }

  #notAllowed(topic: string): Fault {
    const fault = new Fault('topic-not-allowed', `This device may not publish to ${topic} like this.`);
    return denial(this.#parts.speaker.rights, fault);
  }

  #disconnect(data: Buffer, start: number, end: number): void {
    const { speaker, settings } = this.#parts;
    const reader = new PacketReader(data, start, end);
    if (speaker.version === 4) reader.done();
    const reason = reader.left > 0 ? reader.byte() : 0;
    const properties =
      reader.left > 0 ? readProperties(reader, 'disconnect', settings.maxUserProperties) : noProperties;
    reader.done();
    const { sessionExpiry } = properties;
    if (sessionExpiry && speaker.sessionExpirySeconds === 0) {
      throw protocolError('a session that was to end with its connection is to be kept after all'); // section 3.14.2.2.2
    }
    speaker.leave({ withWill: reason === disconnectWithWill, sessionExpirySeconds: sessionExpiry });
  }
}

const deaf = new Fault(
  'conflict',
  'Nothing was renewed, since this session would not hear of it: subscribe to accepted and rejected first.',
);

/** The fault with what it is about, for the error topic. */
const about = ({ packetId, route }: Pick<Publish, 'packetId' | 'route'>, fault: Fault): Fault =>
  new Fault(fault.kind, fault.message, {
    fields: { ...fault.fields, correlation: packetId || null, topic: route.topic },
  });
