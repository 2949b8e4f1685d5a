/**
 * The sessions of this worker among those of all: claims client ids in the shared file, has former owners in other workers
 * let go, and lets go itself when another has claimed. Releases are gathered: a row too many costs a newcomer one question.
 */
import type { Cancel, Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { FormerSession, Ownership } from '../sessions/ownership.ts';
import type { Session } from '../sessions/session.ts';
import type { FormerOwner, Owners } from './owners.ts';

/** A session that was displaced, as it is told to the worker that did it. Plain data. */
export interface DisplacedSession {
  readonly address: string;
  readonly connectedAtMs: number;
  /** How long nothing was heard of it. */
  readonly silentMs: number;
  readonly luggage: unknown;
}

export interface WorkerOwnershipOptions {
  owners: Owners;
  worker: number;
  /** Has a session in another worker end; resolves when it has let go, null when it was gone. Never rejects. */
  displace(former: FormerOwner, clientId: string): Promise<DisplacedSession | null>;
  clock: Clock;
  releaseMs?: number;
}

interface Held {
  readonly session: Session;
  readonly epoch: number;
  /** The end of the session that it replaced here. */
  readonly older: Promise<void> | null;
  /** The letting go of the session that it replaced elsewhere. */
  readonly former: Promise<unknown> | null;
  displaced: boolean;
}

/** Releases that are written down at once. */
const mostReleases = 500;

export class WorkerOwnership implements Ownership, Disposable {
  readonly #options: WorkerOwnershipOptions;
  readonly #held = new Map<string, Held>();
  #released: [string, number][] = [];
  #cancel: Cancel | null = null;
  #epoch: number;
  #luggage: (session: Session) => unknown = () => null;

  constructor(options: WorkerOwnershipOptions) {
    this.#options = options;
    // Higher than those of a worker of the same number before: what was said about its sessions concerns none of ours.
    this.#epoch = Math.floor(options.clock.now() * 1000);
  }

  packs(luggage: (session: Session) => unknown): void {
    this.#luggage = luggage;
  }

  claim(session: Session, older: Promise<void> | null): Promise<FormerSession | null> | null {
    const { owners, worker } = this.#options;
    const { clientId } = session;
    const { epoch, former: rival } = owners.claim(clientId, worker, ++this.#epoch);
    this.#epoch = Math.max(this.#epoch, epoch);
    const former = rival === null || rival.worker === worker ? null : this.#displace(rival, clientId);
    this.#held.set(clientId, { session, epoch, older, former, displaced: false });
    return former;
  }

  async #displace(rival: FormerOwner, clientId: string): Promise<FormerSession | null> {
    const { displace, clock } = this.#options;
    const displaced = await displace(rival, clientId);
    if (displaced === null) return null;
    const { address, connectedAtMs, silentMs, luggage } = displaced;
    return { peer: { address }, connectedAtMs, lastHeardMs: clock.elapsed() - silentMs, luggage };
  }

  release(session: Session): void {
    const { clientId } = session;
    const held = this.#held.get(clientId);
    if (held?.session !== session) return;
    this.#held.delete(clientId);
    if (held.displaced) return;
    this.#released.push([clientId, held.epoch]);
    if (this.#released.length >= mostReleases) this.#flush();
    else this.#cancel ??= this.#options.clock.after(this.#options.releaseMs ?? 50, () => this.#flush());
  }

  /**
   * Another worker has the client id now: the session with this epoch ends. Resolves when it, and what it waited for, has
   * let go, with what it was; null when it is gone. A session that came later is not meant.
   */
  async displaced(clientId: string, epoch: number): Promise<DisplacedSession | null> {
    const held = this.#held.get(clientId);
    if (!held) return null;
    // What was meant has been replaced here meanwhile: its end is what is waited for.
    if (held.epoch !== epoch) {
      await held.older;
      return null;
    }
    held.displaced = true;
    const { peer, connectedAtMs, lastHeardMs } = held.session;
    const silentMs = this.#options.clock.elapsed() - (lastHeardMs ?? Number.NEGATIVE_INFINITY);
    const luggage = this.#luggage(held.session);
    const ended = held.session.end(
      new Fault('taken-over', 'The device has connected again; this older session ends.'),
      { silence: false },
    );
    await Promise.all([ended, held.older, held.former]);
    return { address: peer.address, connectedAtMs, silentMs, luggage };
  }

  get size(): number {
    return this.#held.size;
  }

  #flush(): void {
    this.#cancel?.();
    this.#cancel = null;
    const released = this.#released;
    this.#released = [];
    if (released.length > 0) this.#options.owners.release(released);
  }

  [Symbol.dispose](): void {
    this.#flush();
  }
}
