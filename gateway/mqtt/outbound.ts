/**
 * What leaves towards one client: PUBLISH in order, as many unacknowledged as the client takes (Receive Maximum), none
 * longer than it takes, each under a packet id that is in use once, and what a stored session had not acknowledged again.
 * Made when something is first sent; who sends does not matter: the broker, or a queue beside it.
 */
import { Fault } from '#common/fault.ts';
import type { Metrics } from '#common/metrics.ts';
import { pubrel, pubrelOfUnknown } from './answers.ts';
import { type Dispatch, dispatched, type Ended } from './dispatch.ts';
import { Fifo } from './fifo.ts';
import { type Flight, stepAfter } from './flight.ts';
import { Outlet } from './outlet.ts';
import { firstDispatchId, lastId, mostInFlight, PacketIds } from './packet-ids.ts';
import type { Parcel } from './parcel.ts';
import { packetOf } from './parcel-packet.ts';
import type { StoredSession } from './stored-session.ts';

/** The connection, as what leaves by it sees it. */
export interface OutboundHost {
  readonly version: 4 | 5;
  /** Longest packet that the client takes. */
  readonly maximumPacketSize: number;
  /** Most QoS 1 and 2 publishes that the client takes unacknowledged. */
  readonly outboundMaximum: number;
  /** CONNACK has been sent: nothing leaves before it [MQTT-3.2.0-1]. */
  readonly greeted: boolean;
  /** The client does not read as fast as it is sent to. */
  readonly congested: boolean;
  /** Whether the client may hear of a topic, as of now. */
  mayHear(topic: string): boolean;
  write(bytes: Buffer): void;
  /** Runs once when it is not congested any more. */
  whenEased(run: () => void): void;
  end(fault: Fault, options: { silence: boolean }): Promise<void>;
}

export interface OutboundParts {
  readonly settings: { readonly maxQueuedSize: number };
  readonly clock: { now(): number };
  readonly metrics: Pick<Metrics, 'messagesMissedTotal' | 'messagesWithheldTotal'>;
}

export class Outbound {
  readonly #host: OutboundHost;
  readonly #parts: OutboundParts;
  readonly #brokerIds = new PacketIds(1, firstDispatchId - 1);
  readonly #dispatchIds = new PacketIds(firstDispatchId, lastId);
  /** QoS 0 that waits for the client to read. */
  readonly #fleeting = new Fifo<Parcel>();
  /** QoS 1 and 2 that wait for that, or for acknowledgements of others. */
  readonly #lasting = new Fifo<Parcel>();
  #queuedBytes = 0;
  readonly #flights = new Map<number, Flight>();
  /** Flights whose packet id is being written down, in the order in which they are to leave. */
  readonly #boarding = new Fifo<Flight>();
  #unacknowledged = 0;
  /** Given to `send` and not pushed yet. */
  #announced = 0;
  #session: StoredSession | null = null;
  readonly #outlet: Outlet;
  #awaitsEase = false;
  #whenRoom: (() => void)[] = [];
  #closed = false;

  constructor(host: OutboundHost, parts: OutboundParts) {
    this.#host = host;
    this.#parts = parts;
    this.#outlet = new Outlet((bytes) => {
      if (!this.#closed) host.write(bytes);
    });
  }

  /** Parcels that wait for their turn or their acknowledgement. */
  get pending(): number {
    return this.#announced + this.#lasting.length + this.#flights.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  mayHear(topic: string): boolean {
    return this.#host.mayHear(topic);
  }

  /** Whether one more could leave at once. */
  get idle(): boolean {
    return !this.#closed && this.#lasting.length === 0 && this.#hasQuota && !this.#host.congested;
  }

  /** Whether one more may wait. */
  get hasRoom(): boolean {
    return !this.#closed && this.#queuedBytes < this.#parts.settings.maxQueuedSize / 2;
  }

  /** Runs when there is room, or none will be. */
  whenRoom(run: () => void): void {
    if (this.hasRoom || this.#closed) return run();
    this.#whenRoom.push(run);
  }

  /** The session outlives its connection: what it has not acknowledged is sent again, and what is sent is in its store. */
  resume(session: StoredSession): void {
    this.#session = session;
    this.begin();
  }

  /** Sends a QoS 1 PUBLISH when its turn comes. `ended` is called once, never before this returns. */
  send(dispatch: Dispatch, ended: Ended): void {
    const parcel = dispatched(dispatch, ended);
    this.#announced += 1;
    queueMicrotask(() => {
      this.#announced -= 1;
      this.push(parcel);
    });
  }

  /** Takes a parcel; what does not fit is missed at QoS 0, waits in the store if it is there, and ends the connection otherwise. */
  push(parcel: Parcel): void {
    if (this.#closed) return void parcel.ended?.('closed', 0, false);
    if (parcel.qos > 0 && parcel.stored && this.#session!.leaveThere(parcel)) return this.begin();
    const waits = this.#queuedBytes + sizeOf(parcel);
    const fits = this.#queuedBytes === 0 || waits <= this.#parts.settings.maxQueuedSize;
    if (parcel.qos === 0) {
      if (!fits) return this.#parts.metrics.messagesMissedTotal.inc();
      this.#fleeting.push(parcel);
    } else if (fits) {
      this.#lasting.push(parcel);
    } else if (parcel.stored) {
      this.#session!.overflow(parcel);
      return;
    } else {
      // First the end, so that nobody takes this one for somebody to hand it to.
      void this.#host.end(overQueue(this.#parts.settings.maxQueuedSize), { silence: false });
      return void parcel.ended?.('closed', 0, false);
    }
    this.#queuedBytes = waits;
    this.begin();
  }

  /** Sends what may be sent; to be called when CONNACK has left. */
  begin(): void {
    if (!this.#host.greeted) return;
    // By turns: neither is to wait for the other when the client reads slowly.
    for (let moved = true; moved; ) {
      moved = false;
      if (this.#fleeting.length > 0 && !this.#blocked) {
        this.#board(this.#next(this.#fleeting));
        moved = true;
      }
      if (this.#lasting.length > 0 && this.#hasQuota && !this.#blocked) {
        this.#board(this.#next(this.#lasting));
        moved = true;
      }
    }
    if (this.#lasting.length === 0 && !this.#closed) this.#session?.refill(this);
    if (this.#whenRoom.length > 0 && this.hasRoom) this.#release();
  }

  /** PUBACK (4), PUBREC (5) or PUBCOMP (7) of the client; false when it is about nothing that was sent. */
  acknowledge(type: number, packetId: number, reasonCode: number): boolean {
    const flight = this.#flights.get(packetId);
    const step = stepAfter(flight, type, reasonCode);
    if (step === null) {
      // One that nobody knows is answered all the same, or the client would keep it for ever (section 3.6.2.1).
      if (type === 5) this.#outlet.send(pubrelOfUnknown(packetId, this.#host.version));
      return false;
    }
    if (step === 'pubcomp') {
      const isFirst = flight!.step === 'pubrec';
      flight!.step = step;
      const noted = isFirst && flight!.stored ? this.#session!.queue.releasing(packetId) : null;
      if (noted === null) this.#outlet.send(pubrel(packetId));
      // What the store could not note is sent again after a reconnect, as it stands there.
      else
        void noted.then(
          () => this.#outlet.send(pubrel(packetId)),
          () => this.#outlet.send(pubrel(packetId)),
        );
      return true;
    }
    if (flight!.counted) this.#unacknowledged -= 1;
    flight!.counted = false;
    flight!.parcel?.ended?.(reasonCode >= 0x80 ? 'refused' : 'acknowledged', reasonCode, true);
    this.#land(flight!);
    this.begin();
    return true;
  }

  /** A stored PUBREL goes again [MQTT-4.4.0-1]; it does not count against what the client takes (section 4.9). */
  releaseAgain(packetId: number): void {
    if (this.#flights.has(packetId)) return;
    this.#flights.set(packetId, {
      packetId,
      parcel: null,
      stored: true,
      step: 'pubcomp',
      counted: false,
      bytes: null,
    });
    this.#outlet.send(pubrel(packetId));
  }

  /** The connection is over. What was not acknowledged is told to whoever sent it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const flight of this.#flights.values()) {
      const { parcel, step, bytes } = flight;
      if (parcel === null || (step !== 'puback' && step !== 'pubrec')) continue;
      const taken = parcel.ended?.('closed', 0, bytes === null) ?? false;
      if (taken && flight.stored) this.#session!.forget(parcel, flight.packetId);
    }
    for (const parcel of this.#lasting.drain()) {
      const taken = parcel.ended?.('closed', 0, parcel.again !== undefined) ?? false;
      if (taken && parcel.stored) this.#session!.forget(parcel, this.#takeId(parcel));
    }
    this.#fleeting.drain();
    this.#release();
  }

  get #hasQuota(): boolean {
    return this.#unacknowledged < this.#host.outboundMaximum && this.#flights.size < mostInFlight;
  }

  /** Whether the client does not read; when it does again, what waits goes on. */
  get #blocked(): boolean {
    if (this.#closed) return true;
    if (!this.#host.congested) return false;
    if (!this.#awaitsEase) {
      this.#awaitsEase = true;
      this.#host.whenEased(() => {
        this.#awaitsEase = false;
        this.begin();
      });
    }
    return true;
  }

  #next(queue: Fifo<Parcel>): Parcel {
    const parcel = queue.shift()!;
    this.#queuedBytes -= sizeOf(parcel);
    return parcel;
  }

  #release(): void {
    const waiting = this.#whenRoom;
    this.#whenRoom = [];
    for (const run of waiting) run();
  }

  /** Gives a parcel its packet id and sends it, or drops what is not to be sent. */
  #board(parcel: Parcel): void {
    const packetId = parcel.qos === 0 ? 0 : this.#takeId(parcel);
    const { version, maximumPacketSize } = this.#host;
    const mayHear = parcel.judged === true || this.#host.mayHear(parcel.message.topic);
    const bytes = mayHear
      ? packetOf(parcel, packetId, version, maximumPacketSize, this.#parts.clock)
      : 'denied';
    if (typeof bytes === 'string') {
      if (bytes !== 'denied') this.#parts.metrics.messagesWithheldTotal.inc({ reason: bytes });
      parcel.ended?.(bytes, 0, false);
      if (parcel.stored && parcel.qos > 0) this.#session!.forget(parcel, packetId);
      return;
    }
    if (parcel.qos === 0) return this.#outlet.send(bytes);
    const { stored } = parcel;
    const step = parcel.qos === 1 ? 'puback' : 'pubrec';
    const flight: Flight = { packetId, parcel, stored, step, counted: true, bytes };
    this.#flights.set(packetId, flight);
    this.#unacknowledged += 1;
    if (!stored || parcel.again === packetId) {
      if (this.#boarding.length === 0) return this.#takeOff(flight);
      flight.noted = true;
      this.#boarding.push(flight);
      return;
    }
    this.#boarding.push(flight);
    const go = () => {
      flight.noted = true;
      while (this.#boarding.first()?.noted && !this.#closed) this.#takeOff(this.#boarding.shift()!);
    };
    // A message that the store does not know (it was subscribed to a moment ago) is sent all the same, and not kept.
    this.#session!.queue.sending(parcel.message.packet, packetId).then(go, () => {
      flight.stored = false;
      this.#session!.landed(parcel);
      go();
    });
  }

  #takeOff(flight: Flight): void {
    this.#outlet.send(flight.bytes!);
    flight.bytes = null;
    flight.parcel!.sent?.(flight.packetId);
  }

  /** The delivery is over: its packet id is free once the store knows. */
  #land(flight: Flight): void {
    const { packetId, parcel } = flight;
    if (!flight.stored) return void this.#flights.delete(packetId);
    flight.step = 'landed';
    flight.parcel = null;
    const free = () => {
      this.#flights.delete(packetId);
      if (parcel) this.#session!.landed(parcel);
    };
    // What could not be taken out is sent again after a reconnect.
    this.#session!.queue.done(packetId).then(free, free);
  }

  /** There is one: fewer are in flight than there are. */
  #takeId({ again, judged }: Parcel): number {
    if (again !== undefined && !this.#flights.has(again)) return again;
    const ids = judged ? this.#dispatchIds : this.#brokerIds;
    return ids.take((packetId) => this.#flights.has(packetId));
  }
}

/** Bytes that a parcel holds in memory, about. */
const sizeOf = ({ message: { topic, payload } }: Parcel): number => topic.length + payload.length + 64;

const overQueue = (limit: number) =>
  new Fault('quota-exceeded', `More than ${limit} bytes wait to be read by this client.`);
