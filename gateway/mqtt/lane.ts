/**
 * The telemetry lane of one connection: PUBLISH on the device's own telemetry and event topics goes from the socket's
 * bytes into the spool's open batch, and is acknowledged when that batch is durable, in order. It also keeps the books of
 * all inbound QoS 1 and 2: packet ids in flight, PUBREC sent, PUBREL awaited.
 */
import type { EventClass } from '#common/contract/event.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Peer } from '../door/peer.ts';
import type { Meters } from '../limits/meters.ts';
import type { Pace } from '../limits/pace.ts';
import type { Rights } from '../sessions/rights.ts';
import type { MqttSettings } from '../settings.ts';
import type { Audience } from '../telemetry/audience.ts';
import type { Intake, Origin, Waiter } from '../telemetry/intake.ts';
import { isCommandTopic, type ReplyTarget, replyTargetOf } from './command-topic.ts';
import type { Tongue } from './dialect.ts';
import { InboundQos2 } from './inbound-qos2.ts';
import { malformed, PacketReader, protocolError, textOf } from './packet-reader.ts';
import { noProperties, type Properties, readProperties } from './properties.ts';
import { checkTopicName, isRenewalTopic } from './topic.ts';

/** What the lane needs of its connection. */
export interface LaneHost {
  readonly version: 4 | 5;
  readonly clientId: string;
  readonly peer: Peer;
  write(bytes: Buffer): void;
  /** An event could not be made durable: the connection cannot go on as if it were. */
  end(fault: Fault, options: { silence: boolean }): Promise<void>;
  /** Fewer publishes are in flight than before. */
  eased(): void;
}

export interface LaneParts {
  host: LaneHost;
  device: DeviceId;
  origin: Origin;
  rights: Rights;
  /** Null when it speaks in our own topics alone. */
  tongue: Tongue | null;
  intake: Intake;
  audience: Audience;
  meters: Meters;
  settings: MqttSettings;
}

/** A topic this device has used: where it leads, and up to which QoS it may be used. */
export interface Route {
  readonly bytes: Buffer;
  readonly topic: string;
  /** Null for a topic that is not the lane's. */
  readonly class: EventClass | null;
  readonly channel: string;
  /** What the topic itself says of its payloads, which only some do. */
  readonly contentType: string;
  /** Whether it takes CSRs. */
  readonly renews: boolean;
  /** The command that is answered there. */
  readonly reply: ReplyTarget | null;
  /** -1 when it may not publish there at all. */
  readonly maxQos: number;
}

/** A PUBLISH as read; one object a process, read before the next call. */
export interface Publish {
  route: Route;
  qos: 0 | 1 | 2;
  duplicate: boolean;
  retain: boolean;
  packetId: number;
  properties: Properties;
  payload: Buffer;
}

const rememberedTopics = 4;

export class Lane implements Waiter {
  readonly #parts: LaneParts;
  /** Null for a device that nothing limits. */
  pace: Pace | null;
  #rights: Rights;
  #routes: Route[] = [];
  /** Packet ids to acknowledge in this turn: QoS 1 as they are, QoS 2 with a bit above. */
  #acks: number[] = [];
  #inFlight = 0;
  /** QoS 2 that is not released; made when it is first needed, or what the session had. */
  unreleased: InboundQos2 | undefined;

  constructor(parts: LaneParts) {
    this.#parts = parts;
    this.#rights = parts.rights;
    this.pace = parts.meters.paceOf(parts.device, parts.rights.limits, parts.host.peer);
  }

  /** What was remembered of topics is judged anew. */
  renew(rights: Rights): void {
    this.#rights = rights;
    this.#routes = [];
    this.pace = this.#parts.meters.paceOf(this.#parts.device, rights.limits, this.#parts.host.peer);
  }

  /** Publishes of QoS 1 and 2 that have not been acknowledged. */
  get inFlight(): number {
    return this.#inFlight + (this.unreleased?.size ?? 0);
  }

  /** Reads the PUBLISH between `start` and `end` into `publish`. Faults `malformed-packet`, `protocol-error`, `topic-invalid`. */
  read(head: number, data: Buffer, start: number, end: number, publish: Publish): void {
    const qos = (head >> 1) & 3;
    if (qos === 3) throw malformed('QoS is 3'); // [MQTT-3.3.1-4]
    publish.qos = qos as 0 | 1 | 2;
    publish.duplicate = (head & 8) !== 0;
    publish.retain = (head & 1) !== 0;
    if (publish.duplicate && qos === 0) throw malformed('DUP is set on QoS 0'); // [MQTT-3.3.1-2]
    if (start + 2 > end) throw malformed('it ends too early');
    const topicStart = start + 2;
    let at = topicStart + data.readUInt16BE(start);
    if (at + (qos > 0 ? 2 : 0) > end) throw malformed('it ends too early');
    publish.route = this.#routeOf(data, topicStart, at);
    publish.packetId = 0;
    if (qos > 0) {
      publish.packetId = data.readUInt16BE(at);
      at += 2;
      if (publish.packetId === 0) throw protocolError('packet identifier 0'); // [MQTT-2.2.1-3]
    }
    publish.properties = noProperties;
    if (this.#parts.host.version === 5) {
      // Most packets have none: one zero byte.
      if (data[at] === 0 && at < end) at += 1;
      else at = this.#readProperties(data, at, end, publish);
    }
    publish.payload = data.subarray(at, end);
  }

  /** Takes an event of the lane in. The intake must have room. */
  accept({ route, qos, packetId, properties, payload }: Publish): void {
    const { intake, origin, audience, host } = this.#parts;
    const contentType = properties.contentType ?? route.contentType;
    if (qos === 2) {
      if (!this.beginQos2(packetId)) return;
    } else if (qos === 1) this.#inFlight += 1;
    const ticket = qos === 2 ? packetId | 0x10000 : packetId;
    intake.accept(origin, route.class!, route.channel, contentType, payload, qos === 0 ? null : this, ticket);
    if (audience.wants(route.topic)) audience.deliver(route.topic, payload, qos, contentType, host.clientId);
  }

  /** Books an inbound QoS 2 PUBLISH: false when it was taken before, and PUBREC is or will be sent again. */
  beginQos2(packetId: number): boolean {
    this.unreleased ??= new InboundQos2();
    return this.unreleased.begin(packetId, () =>
      this.#parts.host.write(Buffer.from([0x50, 2, packetId >> 8, packetId & 0xff])),
    );
  }

  qos2Received(packetId: number): void {
    this.unreleased?.received(packetId);
  }

  /** It was answered with an error, which ends it (section 4.3.3). */
  qos2Refused(packetId: number): void {
    this.unreleased?.refused(packetId);
  }

  /** A PUBREL arrived: whether the packet id was awaiting it. */
  release(packetId: number): boolean {
    return this.unreleased?.release(packetId) ?? false;
  }

  durable(ticket: number): void {
    this.#acks.push(ticket);
  }

  failed(_ticket: number, fault: Fault): void {
    void this.#parts.host.end(fault, { silence: false });
  }

  /** All acknowledgements of this turn in one write: the largest single gain on this path. */
  settled(): void {
    const acks = this.#acks;
    if (acks.length === 0) return;
    const bytes = Buffer.allocUnsafe(acks.length * 4);
    for (let index = 0; index < acks.length; index++) {
      const ticket = acks[index]!;
      const isQos2 = ticket > 0xffff;
      if (isQos2) this.unreleased?.received(ticket & 0xffff);
      else this.#inFlight -= 1;
      // PUBACK or PUBREC, packet id; no reason code means success in 5 as well.
      bytes.writeUInt32BE(((isQos2 ? 0x5002 : 0x4002) << 16) | (ticket & 0xffff), index * 4);
    }
    acks.length = 0;
    this.#parts.host.write(bytes);
    this.#parts.host.eased();
  }

  #readProperties(data: Buffer, at: number, end: number, publish: Publish): number {
    const reader = new PacketReader(data, at, end);
    publish.properties = readProperties(reader, 'publish', this.#parts.settings.maxUserProperties);
    // We announce no topic aliases, so any is an error [MQTT-3.3.2-9].
    if (publish.properties.topicAlias !== undefined)
      throw new Fault('topic-alias', 'This gateway takes no topic aliases: it announces none.');
    if (publish.properties.responseTopic !== undefined)
      checkTopicName(publish.properties.responseTopic, this.#parts.settings);
    return reader.at;
  }

  #routeOf(data: Buffer, start: number, end: number): Route {
    const routes = this.#routes;
    for (let index = 0; index < routes.length; index++) {
      const { bytes } = routes[index]!;
      if (bytes.length === end - start && bytes.compare(data, start, end) === 0) return routes[index]!;
    }
    const route = this.#makeRoute(Buffer.from(data.subarray(start, end)));
    // Each command is answered on a topic of its own, once.
    if (route.reply) return route;
    if (routes.length === rememberedTopics) routes.shift();
    routes.push(route);
    return route;
  }

  #makeRoute(bytes: Buffer): Route {
    const said = textOf(bytes);
    checkTopicName(said, this.#parts.settings);
    const meaning = this.#parts.tongue?.meaningOf(said);
    const topic = meaning?.topic ?? said;
    if (meaning) checkTopicName(topic, this.#parts.settings);
    const found = laneOf(topic, this.#parts.device);
    const reply = replyTargetOf(topic, this.#parts.device);
    // Only the registry sends commands, whatever the role grants.
    let maxQos = reply || !isCommandTopic(topic) ? 2 : -1;
    while (maxQos >= 0 && !this.#rights.mayPublish(topic, maxQos, false)) maxQos -= 1;
    const renews = isRenewalTopic(topic, this.#parts.device);
    return {
      bytes,
      topic,
      class: found?.class ?? null,
      channel: found?.channel ?? '',
      contentType: meaning?.contentType ?? '',
      renews,
      reply,
      maxQos,
    };
  }
}

/** Where on the lane a topic of a device leads; undefined for topics that are not the lane's. */
export function laneOf(topic: string, device: string): { class: EventClass; channel: string } | undefined {
  const own = `devices/${device}/`;
  if (!topic.startsWith(own)) return undefined;
  const rest = topic.slice(own.length);
  if (rest === 'telemetry' || rest.startsWith('telemetry/'))
    return { class: 'telemetry', channel: rest.slice(10) };
  if (rest === 'events' || rest.startsWith('events/')) return { class: 'event', channel: rest.slice(7) };
  return undefined;
}
