/**
 * The sessions of this worker among those of all: claims client ids in the shared file, has former owners in other workers
 * let go, and lets go itself when another has claimed. Releases are gathered: a row too many costs a newcomer one question.
 */
import type { Cancel, Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Ownership } from '../sessions/ownership.ts';
import type { Session } from '../sessions/session.ts';
import type { FormerOwner, Owners } from './owners.ts';

export interface WorkerOwnershipOptions {
  owners: Owners;
  worker: number;
  /** Has a session in another worker end; resolves when it has let go. */
  displace(former: FormerOwner, clientId: string): Promise<void>;
  clock: Clock;
  releaseMs?: number;
}

interface Held {
  readonly session: Session;
  readonly epoch: number;
  /** The end of the session that it replaced here. */
  readonly older: Promise<void> | null;
  /** The letting go of the session that it replaced elsewhere. */
  readonly former: Promise<void> | null;
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

  constructor(options: WorkerOwnershipOptions) {
    this.#options = options;
    // Higher than those of a worker of the same number before: what was said about its sessions concerns none of ours.
    this.#epoch = Math.floor(options.clock.now() * 1000);
  }

  claim(session: Session, older: Promise<void> | null): Promise<void> | null {
    const { owners, worker, displace } = this.#options;
    const { clientId } = session;
    const { epoch, former: rival } = owners.claim(clientId, worker, ++this.#epoch);
    this.#epoch = Math.max(this.#epoch, epoch);
    const former = rival === null || rival.worker === worker ? null : displace(rival, clientId);
    this.#held.set(clientId, { session, epoch, older, former, displaced: false });
    return former;
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
   * let go. A session that came later is not meant.
   */
  async displaced(clientId: string, epoch: number): Promise<void> {
    const held = this.#held.get(clientId);
    if (!held) return;
    // What was meant has been replaced here meanwhile: its end is what is waited for.
    if (held.epoch !== epoch) return void (await held.older);
    held.displaced = true;
    const ended = held.session.end(
      new Fault('taken-over', 'The device has connected again; this older session ends.'),
      { silence: false },
    );
    await Promise.all([ended, held.older, held.former]);
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
