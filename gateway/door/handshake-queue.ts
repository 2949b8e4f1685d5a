/**
 * Who may begin a TLS handshake, and when. While few are under way each begins at once. Beyond that a connection waits,
 * unread and without TLS, until its first bytes are there, and then for a place: so that whoever says nothing holds
 * none, and whoever holds many waits behind those who hold few. It ends what says nothing, or is not done, in time.
 */
import type { Socket } from 'node:net';
import type { Cancel, Clock } from '#common/clock.ts';
import type { LimitSettings } from '../settings.ts';
import { neighbourhood } from './connect-limits.ts';
import { FairLine } from './fair-line.ts';
import { FairShare } from './fair-share.ts';

export interface HandshakeQueueOptions {
  limits: Pick<LimitSettings, 'handshakes' | 'handshakeQueue' | 'helloTimeout' | 'handshakeTimeout'>;
  clock: Clock;
  /** Told of one whose place in the queue went to a later one of the same network. */
  onDropped: () => void;
}

export interface HandshakeCalls {
  begin(): void;
  late(): void;
  /** Its place went to a later one of the same network; the socket goes. */
  dropped(): void;
}

/** Of all handshakes that may be under way, this part begins without a question: also those who then say nothing. */
const carefreePart = 4;

type Stage = 'silent' | 'waiting' | 'under way' | 'over';

export class HandshakeQueue {
  readonly #options: HandshakeQueueOptions;
  readonly #carefree: number;
  readonly #places: FairShare;
  readonly #waiting: FairShare;
  readonly #line = new FairLine<Handshake>();

  constructor(options: HandshakeQueueOptions) {
    this.#options = options;
    this.#carefree = Math.floor(options.limits.handshakes / carefreePart);
    this.#places = new FairShare(options.limits.handshakes);
    this.#waiting = new FairShare(options.limits.handshakeQueue);
  }

  get underWay(): number {
    return this.#places.taken;
  }

  get waiting(): number {
    return this.#waiting.taken;
  }

  /**
   * Calls `begin` when it is this connection's turn, at once if nobody waits; `late` before it destroys the socket because
   * that, or the handshake, takes too long. What is returned is to be called when the handshake is done or the socket closed.
   */
  enter(socket: Socket, address: string, calls: HandshakeCalls): Cancel {
    const handshake = new Handshake(socket, neighbourhood(address), calls);
    this.#watch(handshake);
    if (this.#places.taken < this.#carefree) this.#begin(handshake);
    else this.#listen(handshake);
    return () => this.#leave(handshake);
  }

  /** One timer for both: first whether anything has come, then whether all has. */
  #watch(handshake: Handshake): void {
    const { clock, limits } = this.#options;
    const { socket } = handshake;
    const patience = Math.min(limits.helloTimeout, limits.handshakeTimeout);
    const rest = limits.handshakeTimeout - patience;
    const end = () => {
      handshake.calls.late();
      socket.destroy();
    };
    handshake.deadline = clock.after(patience, () => {
      if (rest === 0 || socket.bytesRead === handshake.readBefore) return end();
      handshake.deadline = clock.after(rest, end);
    });
  }

  /** Its first bytes are awaited: an event for the first only, what follows stays with the system. */
  #listen(handshake: Handshake): void {
    const { socket } = handshake;
    socket.on('error', ignore);
    const heard = () => {
      if (handshake.stage !== 'silent') return;
      if (socket.readableLength === 0) socket.destroy();
      else this.#queue(handshake);
    };
    if (socket.readableLength > 0) heard();
    else socket.once('readable', heard);
  }

  #queue(handshake: Handshake): void {
    const { name } = handshake;
    if (this.#waiting.taken === 0 && this.#places.mayTake(name)) return this.#begin(handshake);
    if (!this.#waiting.mayTake(name) && !this.#dropOldest(name)) {
      return this.#drop(handshake);
    }
    handshake.stage = 'waiting';
    this.#waiting.take(name);
    this.#line.add(name, handshake);
    this.#next();
  }

  /** Makes room among its own: nobody else pays for one who sends too many. */
  #dropOldest(name: string): boolean {
    const oldest = this.#line.oldest(name);
    if (!oldest) return false;
    this.#leave(oldest);
    this.#drop(oldest);
    return true;
  }

  #drop({ calls, socket }: Handshake): void {
    this.#options.onDropped();
    calls.dropped();
    socket.destroy();
  }

  /** Gives the free places to those who wait. */
  #next(): void {
    while (this.#places.free > 0) {
      const next = this.#line.shift(this.#mayBegin);
      if (!next) return;
      this.#waiting.giveBack(next.name);
      this.#begin(next);
    }
  }

  readonly #mayBegin = (name: string): boolean => this.#places.allows(name);

  #begin(handshake: Handshake): void {
    handshake.stage = 'under way';
    this.#places.take(handshake.name);
    handshake.calls.begin();
  }

  #leave(handshake: Handshake): void {
    const { stage, name } = handshake;
    if (stage === 'over') return;
    handshake.stage = 'over';
    handshake.deadline();
    if (stage === 'waiting') {
      this.#line.remove(name, handshake);
      this.#waiting.giveBack(name);
    }
    if (stage !== 'under way') return;
    this.#places.giveBack(name);
    if (this.#waiting.taken > 0) this.#next();
  }
}

class Handshake {
  readonly socket: Socket;
  readonly name: string;
  readonly calls: HandshakeCalls;
  /** A PROXY header may have been read before. */
  readonly readBefore: number;
  stage: Stage = 'silent';
  deadline: Cancel = ignore;

  constructor(socket: Socket, name: string, calls: HandshakeCalls) {
    this.socket = socket;
    this.name = name;
    this.calls = calls;
    this.readBefore = socket.bytesRead - socket.readableLength;
  }
}

function ignore(): void {}
