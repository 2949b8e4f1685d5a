/**
 * Whose a client id is when several processes share the ports: the newest session's, wherever it came in. One process
 * alone has nobody to ask; its sessions find each other in the index.
 */
import type { Session } from './session.ts';

/** What is known of a session that another process had. */
export interface FormerSession {
  readonly peer: { readonly address: string };
  readonly connectedAtMs: number;
  /** Of the clock of this process. */
  readonly lastHeardMs: number;
  /** What the other process remembered of the device (`packs`); plain data. */
  readonly luggage: unknown;
}

export interface Ownership {
  /**
   * The session is the one of its client id from now on, before anything it does is visible. `older` ends with the
   * session that it replaces in this process. Null when no other process had it; else resolves, within a bound and never
   * with an error, when the one that had it has let go: with what that one was, when it said.
   */
  claim(session: Session, older: Promise<void> | null): Promise<FormerSession | null> | null;
  /** The session has ended and what is stored of it is no longer written. Harmless for one that was displaced. */
  release(session: Session): void;
  /** From now on a session that is taken over elsewhere is asked what goes with it. */
  packs(luggage: (session: Session) => unknown): void;
}

/** For a gateway that is alone: costs nothing. */
export const soleOwner: Ownership = { claim: () => null, release() {}, packs() {} };
