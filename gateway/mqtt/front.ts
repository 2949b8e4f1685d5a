/**
 * The front of one MQTT connection: it owns the socket, finds the frames, walks a CONNECT through admission, answers for
 * the gateway, and ends. A session that needs nothing of a broker never meets one; one that does is attached when it
 * first needs it.
 */
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import { peerChain } from '#common/x509/peer-chain.ts';
import type { Finding } from '../admission/finding.ts';
import type { Peer } from '../door/peer.ts';
import { readWire, tlsOf, type Wire, type WireReader } from '../door/wire.ts';
import type { Rights } from '../sessions/rights.ts';
import type { Session } from '../sessions/session.ts';
import type { Attachment } from './attachment.ts';
import type { Guest } from './broker.ts';
import { type Connect, readConnect, versionOf } from './connect-packet.ts';
import { Conversation } from './conversation.ts';
import { lateForConnect, lateForKeepAlive, type Punctual } from './deadlines.ts';
import { Tongue } from './dialect.ts';
import { enter, takeOver } from './entrance.ts';
import { errorWord } from './error-topic.ts';
import type { FrontParts } from './front-parts.ts';
import { greetingOf, keepAliveOf, lastWordOf } from './greeting.ts';
import { type FrameTaker, Inbox } from './inbox.ts';
import { Lane, type LaneHost } from './lane.ts';
import { Outbound } from './outbound.ts';
import type { Speaker } from './speaker.ts';
import { WayOut } from './way-out.ts';
import { leaveWill } from './will.ts';

/** After our last word a peer has so long to take it. */
const lastWordMs = 1_000;

export class Front implements Session, Guest, LaneHost, Speaker, Punctual, FrameTaker, WireReader {
  readonly peer: Peer;
  readonly #socket: Wire;
  readonly #parts: FrontParts;
  readonly #acceptedAtMs: number;
  connectedAtMs = 0;
  entry!: DirectoryEntry;
  rights!: Rights;
  #connect: Connect | null = null;
  /** What a CONNECT said it speaks, before anything else of it is believed. */
  #spoken: 4 | 5 = 4;
  #lane: Lane | null = null;
  #conversation: Conversation | null = null;
  #attachment: Attachment | null = null;
  #outbound: Outbound | null = null;
  #whenAttached: ((attachment: Attachment) => void) | null = null;
  readonly #inbox = new Inbox(this);
  #refused = false;
  #greeted = false;
  #ended = false;
  #closed = false;
  #goodbye = false;
  lastHeardMs: number;
  #blockedSinceMs = 0;
  #keepAliveMs = 0;
  #outcome = 'closed by the client';

  constructor(socket: Wire, peer: Peer, acceptedAtMs: number, parts: FrontParts) {
    this.#socket = socket;
    this.peer = peer;
    this.#parts = parts;
    this.#acceptedAtMs = acceptedAtMs;
    this.lastHeardMs = parts.clock.elapsed();
    parts.deadlines.add(this);
    readWire(socket, this);
    socket.on('close', () => this.#close());
  }

  get protocol(): Protocol {
    return this.version === 5 ? 'mqtt5' : 'mqtt';
  }

  get version(): 4 | 5 {
    return this.#connect?.version ?? this.#spoken;
  }

  get clientId(): string {
    return this.#connect?.clientId ?? '';
  }

  get device(): string {
    return this.entry.device;
  }

  get wantsReasons(): boolean {
    return this.#connect?.wantsReasons ?? true;
  }

  get sessionExpirySeconds(): number {
    return this.#connect?.sessionExpirySeconds ?? 0;
  }

  get maximumPacketSize(): number {
    return this.#connect?.maximumPacketSize ?? Number.POSITIVE_INFINITY;
  }

  get certificate(): Buffer | null {
    return tlsOf(this.#socket).getPeerX509Certificate()?.raw ?? null;
  }

  get attached(): Attachment | null {
    return this.#attachment;
  }

  get filters(): readonly string[] {
    return this.#conversation?.filters ?? [];
  }

  get outboundMaximum(): number {
    return this.#connect?.receiveMaximum ?? this.#parts.settings.maxInflight;
  }

  get greeted(): boolean {
    return this.#greeted;
  }

  get outbound(): Outbound {
    if (this.#outbound === null) {
      this.#outbound = new Outbound(new WayOut(this, this.#socket), this.#parts);
    }
    return this.#outbound;
  }

  write(bytes: Buffer | null): void {
    if (bytes && !this.#ended) this.#socket.write(bytes);
  }

  hold(): void {
    this.#inbox.hold();
    this.#socket.pause();
  }

  release(): void {
    if (!this.#inbox.held || this.#ended) return;
    this.lastHeardMs = this.#parts.deadlines.nowMs;
    this.#trying(() => this.#inbox.release());
    if (!this.#inbox.held) this.#socket.resume();
  }

  eased(): void {
    if (this.#inbox.held && this.version === 4) this.release();
  }

  heard(chunk: Buffer): void {
    this.lastHeardMs = this.#parts.deadlines.nowMs;
    this.#trying(() => this.#inbox.read(chunk));
  }

  misheard(fault: Fault): void {
    void this.end(fault, { silence: false });
  }

  get frameLimit(): number {
    const { settings } = this.#parts;
    return this.#connect === null ? settings.maxConnectSize : settings.maxPacketSize;
  }

  /** Before CONNECT nothing else is worth waiting for [MQTT-3.1.0-1]. */
  get awaitsConnect(): boolean {
    return this.#connect === null;
  }

  takeFrame(head: number, data: Buffer, frameStart: number, start: number, end: number): boolean {
    if (this.#conversation !== null) return this.#conversation.take(head, data, start, end);
    this.#spoken = versionOf(data, start, end);
    this.#admit(readConnect(data, frameStart, start, end, this.#parts.settings));
    return true;
  }

  /** What goes wrong ends the connection. */
  #trying(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      const fault = Fault.of(thrown);
      if (fault.kind === 'internal')
        this.#parts.log.error({ error: fault.cause }, 'A packet could not be handled.');
      void this.end(fault, { silence: false });
    }
  }

  /** A CONNECT's way in; of somebody whom the directory does not know, something is found out before. */
  #admit(asked: Connect): void {
    const { corridor } = this.#parts;
    this.#connect = asked;
    if (corridor.isKnown(this.peer)) return this.#enter(asked, undefined);
    this.#later(corridor.findOut(this.peer, peerChain(tlsOf(this.#socket))), (found) =>
      this.#enter(asked, found),
    );
  }

  /** Goes on when the answer is there, if the peer still is. */
  #later<T>(answer: Promise<T>, run: (value: T) => void): void {
    this.hold();
    void answer.then((value) => {
      if (this.#ended || this.#closed) return;
      this.#trying(() => {
        run(value);
        if (this.#greeted) this.release();
      });
    });
  }

  /** Step by step; any may refuse by a Fault. */
  #enter(asked: Connect, finding: Finding | undefined): void {
    const { sessions, clock } = this.#parts;
    const entrant = enter(this.protocol, this.peer, asked, tlsOf(this.#socket), finding, this.#parts);
    if (!entrant.admitted) {
      this.#refused = true;
      throw entrant.fault;
    }
    const { connect } = entrant;
    this.#connect = connect;
    this.entry = entrant.entry;
    this.rights = entrant.rights;
    this.connectedAtMs = clock.now();
    const former = takeOver(this, this.#parts);
    sessions.add(this);
    this.#keepAliveMs = keepAliveOf(connect, this.#parts.settings);
    this.#converse();
    if (former === null) this.#settle(connect);
    else this.#later(former, () => this.#settle(connect));
  }

  /** Nobody else holds the session: CONNACK, from the broker's side if it has one. */
  #settle(connect: Connect): void {
    const { broker } = this.#parts;
    const needsBroker =
      connect.will !== null || connect.sessionExpirySeconds > 0 || broker.keeps(connect.clientId);
    if (needsBroker) this.#attach(connect);
    else this.#greet(false);
  }

  #converse(): void {
    const { intake, broker, meters, settings } = this.#parts;
    const tongue = Tongue.of(settings.topics, this.entry.fleet, this.device);
    this.#lane = new Lane({
      host: this,
      device: this.entry.device,
      origin: intake.origin(this.entry.fleet, this.entry.device, this.protocol),
      rights: this.rights,
      tongue,
      intake,
      audience: broker,
      meters,
      settings,
    });
    this.#conversation = new Conversation({ ...this.#parts, speaker: this, lane: this.#lane, tongue });
  }

  #greet(sessionPresent: boolean): void {
    const { settings, clock, metrics } = this.#parts;
    this.#greeted = true;
    this.write(greetingOf(this.#connect!, sessionPresent, settings));
    metrics.connectSeconds.observe((clock.elapsed() - this.#acceptedAtMs) / 1000);
    this.#outbound?.begin();
  }

  attachment(use: (attachment: Attachment) => void): void {
    if (this.#attachment) return use(this.#attachment);
    this.#whenAttached = use;
    this.#attach(this.#connect!);
  }

  #attach(connect: Connect): void {
    this.hold();
    this.#attachment = this.#parts.broker.attach(this, connect);
  }

  welcome(sessionPresent: boolean): void {
    const attachment = this.#attachment!;
    if (!this.#greeted) this.#greet(sessionPresent);
    if (sessionPresent) this.#conversation?.restored();
    this.#lane!.unreleased ??= this.#parts.broker.unreleased.take(this.clientId, sessionPresent);
    const use = this.#whenAttached;
    this.#whenAttached = null;
    if (use) use(attachment);
    else this.release();
  }

  detached(): void {
    if (!this.#ended && !this.#closed)
      void this.end(new Fault('unavailable', 'The broker has ended this session.'), { silence: false });
  }

  will(packet: { topic: string; payload: Buffer; qos: number }): void {
    leaveWill(packet, this.#connect?.will?.contentType ?? '', this, this.#parts.intake);
  }

  renew(entry: DirectoryEntry, rights: Rights): void {
    this.entry = entry;
    this.rights = rights;
    this.#lane?.renew(rights);
  }

  leave(words: { withWill: boolean; sessionExpirySeconds: number | undefined }): void {
    this.#goodbye = !words.withWill;
    this.#attachment?.disconnected(words);
    this.#ended = true;
    this.#outbound?.close();
    this.#inbox.close();
    this.#socket.end();
  }

  end(fault: Fault, { silence }: { silence: boolean }): Promise<void> {
    const { clock, corridor } = this.#parts;
    const socket = this.#socket;
    if (this.#closed) return Promise.resolve();
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    // Whoever cuts a device off does not want to hear from it, except that a Sparkplug node has died.
    const will = this.#connect?.will;
    if (silence && !(will && this.rights.mayHaveLastWord(will.topic))) this.#attachment?.silence();
    if (!this.#ended) {
      this.#outcome = fault.kind;
      // What the corridor refused is in the journal; a refusal before or after it is put there.
      if (!this.#greeted && !this.#refused)
        corridor.refuse(this.protocol, this.peer, this.#connect?.clientId ?? null, tlsOf(socket), fault);
      this.write(lastWordOf(fault, this, clock.now()));
      this.#ended = true;
      this.#outbound?.close();
      this.#inbox.close();
      socket.destroySoon(fault.kind);
      clock.after(lastWordMs, () => socket.destroy());
    }
    return closed;
  }

  tell(fault: Fault): void {
    this.write(errorWord(fault, this, this.#parts.clock.now()));
  }

  checkDeadlines(nowMs: number): void {
    if (this.#ended) return;
    const { settings } = this.#parts;
    // While it is we who do not read, silence is no fault of the client.
    const silentMs = this.#inbox.held ? 0 : nowMs - this.lastHeardMs;
    const late = this.#connect
      ? lateForKeepAlive(silentMs, this.#keepAliveMs)
      : lateForConnect(nowMs - this.lastHeardMs, settings);
    if (late) return void this.end(late, { silence: false });
    if (!this.#socket.writableNeedDrain) this.#blockedSinceMs = 0;
    else if (this.#blockedSinceMs === 0) this.#blockedSinceMs = nowMs;
    else if (nowMs - this.#blockedSinceMs > settings.drainTimeout) this.#socket.destroy();
  }

  #close(): void {
    const { deadlines, sessions, ownership, log, clock } = this.#parts;
    this.#closed = true;
    this.#ended = true;
    this.#inbox.close();
    deadlines.remove(this);
    if (this.connectedAtMs !== 0) sessions.remove(this);
    this.#attachment?.leave();
    this.#parts.broker.unreleased.keep(this.clientId, this.#lane?.unreleased);
    this.#conversation?.close();
    this.#outbound?.close();
    if (this.connectedAtMs !== 0) ownership.release(this);
    const heldMs = Math.round(clock.elapsed() - this.#acceptedAtMs);
    const outcome = this.#goodbye ? 'disconnected' : this.#outcome;
    log.debug(
      { address: this.peer.address, clientId: this.clientId, protocol: this.protocol, outcome, heldMs },
      'A connection ended.',
    );
  }
}
