/**
 * Whose a client id is when several processes share the ports: the newest session's, wherever it came in. One process
 * alone has nobody to ask; its sessions find each other in the index.
 */
import type { Session } from './session.ts';

export interface Ownership {
  /**
   * The session is the one of its client id from now on, before anything it does is visible. `older` ends with the
   * session that it replaces in this process. Null when no other process had it; else resolves, within a bound and never
   * with an error, when the one that had it has let go.
   */
  claim(session: Session, older: Promise<void> | null): Promise<void> | null;
  /** The session has ended and what is stored of it is no longer written. Harmless for one that was displaced. */
  release(session: Session): void;
}

/** For a gateway that is alone: costs nothing. */
export const soleOwner: Ownership = { claim: () => null, release() {} };
