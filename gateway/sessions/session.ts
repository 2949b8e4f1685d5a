/** A live, admitted connection of a device, whatever its protocol: what revocation and the operator need of it. */
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import type { Fault } from '#common/fault.ts';

export interface Session {
  readonly protocol: Protocol;
  /** The MQTT client id; the device id for HTTPS. */
  readonly clientId: string;
  /** As admitted; `renew` replaces it when the directory changes and the session may stay. */
  readonly entry: DirectoryEntry;
  /** The device's address and port. */
  readonly address: string;
  readonly connectedAtMs: number;
  /** The role or the attributes of the device have changed: judge what comes next by the new entry. */
  renew(entry: DirectoryEntry): void;
  /**
   * Ends the connection and says why in the protocol's words. With `silence` neither its Will nor anything queued for
   * it leaves afterwards. Resolves when the socket is closed; a peer that does not read is not waited for.
   */
  end(fault: Fault, options: { silence: boolean }): Promise<void>;
}
