/**
 * What leaves towards one client: PUBLISH in order, as many unacknowledged as the client takes (Receive Maximum), none
 * longer than it takes, each under a packet id that is in use once. Made when something is first sent; who sends does not
 * matter: the broker, or a queue beside it.
 */
import type { Properties } from './properties.ts';
import { noProperties } from './properties.ts';
import { noIdentifiers, publishBytes } from './publish-packet.ts';

/** The connection, as what leaves by it sees it. */
export interface OutboundHost {
  readonly version: 4 | 5;
  /** Longest packet that the client takes. */
  readonly maximumPacketSize: number;
  /** Most QoS 1 and 2 publishes that the client takes unacknowledged. */
  readonly outboundMaximum: number;
  /** CONNACK has been sent: nothing leaves before it [MQTT-3.2.0-1]. */
  readonly greeted: boolean;
  write(bytes: Buffer): void;
}

/** A message from beside the broker: QoS 1, not retained. */
export interface Dispatch {
  readonly topic: string;
  readonly payload: Buffer;
  readonly properties?: Properties;
  /** The packet id under which the same session has been sent it before: it goes again under the same, marked DUP. */
  readonly again?: number;
  /** It is on its way, under this packet id. */
  readonly sent?: (packetId: number) => void;
}

/**
 * How a dispatch ended: the client has it; it answered with a reason code of 0x80 or more (section 3.4.2.1); it was not
 * sent since the client takes no packet that long [MQTT-3.1.2-25]; or the connection ended first.
 */
export type Ending = 'acknowledged' | 'refused' | 'too-large' | 'closed';

export type Ended = (ending: Ending, reasonCode: number) => void;

/** Packet ids of what comes from beside the broker; below are the broker's. */
export const firstDispatchId = 0xc000;
const lastId = 0xffff;

interface Waiting {
  readonly dispatch: Dispatch;
  readonly ended: Ended;
}

export class Outbound {
  readonly #host: OutboundHost;
  #waiting: Waiting[] = [];
  readonly #inFlight = new Map<number, Ended>();
  #nextDispatchId = firstDispatchId;
  #closed = false;

  constructor(host: OutboundHost) {
    this.#host = host;
  }

  /** Dispatches that wait for their turn or their acknowledgement. */
  get pending(): number {
    return this.#waiting.length + this.#inFlight.size;
  }

  /** Sends a QoS 1 PUBLISH when its turn comes. `ended` is called once, never before this returns. */
  send(dispatch: Dispatch, ended: Ended): void {
    if (this.#closed) return void queueMicrotask(() => ended('closed', 0));
    this.#waiting.push({ dispatch, ended });
    queueMicrotask(() => this.begin());
  }

  /**
   * PUBACK (4), PUBREC (5) or PUBCOMP (7) of the client: true when it is about something that was sent here, false when it
   * is the broker's.
   */
  acknowledge(_type: number, packetId: number, reasonCode: number): boolean {
    const ended = this.#inFlight.get(packetId);
    if (!ended) return false;
    this.#inFlight.delete(packetId);
    ended(reasonCode >= 0x80 ? 'refused' : 'acknowledged', reasonCode);
    this.begin();
    return true;
  }

  /** The connection is over. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const all = [...this.#inFlight.values(), ...this.#waiting.map(({ ended }) => ended)];
    this.#inFlight.clear();
    this.#waiting = [];
    for (const ended of all) ended('closed', 0);
  }

  /** Sends what may be sent; to be called when CONNACK has left. */
  begin(): void {
    if (!this.#host.greeted) return;
    while (!this.#closed && this.#waiting.length > 0) {
      if (this.#inFlight.size >= this.#host.outboundMaximum) return;
      const { dispatch, ended } = this.#waiting.shift()!;
      const again = dispatch.again !== undefined && !this.#inFlight.has(dispatch.again);
      const packetId = again ? dispatch.again! : this.#takeId();
      const bytes = publishBytes(
        {
          topic: dispatch.topic,
          payload: dispatch.payload,
          qos: 1,
          retain: false,
          duplicate: again,
          packetId,
          properties: dispatch.properties ?? noProperties,
          subscriptionIdentifiers: noIdentifiers,
        },
        this.#host.version,
      );
      if (bytes.length > this.#host.maximumPacketSize) {
        ended('too-large', 0);
        continue;
      }
      this.#inFlight.set(packetId, ended);
      this.#host.write(bytes);
      dispatch.sent?.(packetId);
    }
  }

  /** There is one: fewer are in flight than there are. */
  #takeId(): number {
    while (this.#inFlight.has(this.#nextDispatchId)) this.#advance();
    const packetId = this.#nextDispatchId;
    this.#advance();
    return packetId;
  }

  #advance(): void {
    this.#nextDispatchId = this.#nextDispatchId === lastId ? firstDispatchId : this.#nextDispatchId + 1;
  }
}
