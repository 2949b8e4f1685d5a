/** A live, admitted connection of a device, whatever its protocol: what revocation and the operator need of it. */
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import type { Fault } from '#common/fault.ts';
import type { Peer } from '../door/peer.ts';
import type { Rights } from './rights.ts';

export interface Session {
  readonly protocol: Protocol;
  /** The MQTT client id; the device id for HTTPS. */
  readonly clientId: string;
  readonly peer: Peer;
  /** As admitted; `renew` replaces it when the directory changes and the session may stay. */
  readonly entry: DirectoryEntry;
  readonly connectedAtMs: number;
  /** When something was last heard of it, of `clock.elapsed()` and good to a second; only where that is known. */
  readonly lastHeardMs?: number;
  /** The role or the attributes of the device have changed: what comes next is judged by these. */
  renew(entry: DirectoryEntry, rights: Rights): void;
  /**
   * Ends the connection and says why in the protocol's words. With `silence` neither its Will nor anything queued for
   * it leaves afterwards. Resolves when the socket is closed; a peer that does not read is not waited for.
   */
  end(fault: Fault, options: { silence: boolean }): Promise<void>;
}
