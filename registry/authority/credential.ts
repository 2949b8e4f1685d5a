/** What somebody who wants a certificate shows, and the right that it turns out to be. */
import type { Fault } from '#common/fault.ts';
import type { DeviceId, FleetId } from '#common/identity.ts';
import type { Write } from '../store/writer.ts';

/** A secret, or the certificates shown in a TLS handshake, leaf first, DER: the handshake has proved the leaf's key. */
export type Credential = { readonly secret: string } | { readonly chain: readonly Buffer[] };

/** What a credential grants: to enroll devices of a fleet, or one device of it. */
export interface EnrollmentRight {
  readonly fleet: FleetId;
  /** The only device that it is good for; null for any of the fleet. */
  readonly device: DeviceId | null;
  /** Kept with the certificate: `token:<id>`, `claim:<id>`, `anchor:<id>`. */
  readonly source: string;
  readonly actor: string;
  /** Why it is good for nothing new: spent or expired. It still says who asked before, and may hear what became of that. */
  readonly refusal?: Fault;
  /** Not for devices that have a certificate that is good; the same key gets the same certificate again. */
  readonly newcomersOnly?: boolean;
  /** In the transaction that reserves. Faults when it is gone by now. */
  spend(write: Write, device: DeviceId): Promise<void>;
}

/** Reads a chain as a right of its kind; undefined when it is none. Faults when it is one that is no longer good. */
export type ChainReader = (chain: readonly Buffer[]) => Promise<EnrollmentRight | undefined>;
