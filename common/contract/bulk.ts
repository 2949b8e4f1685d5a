/** Many certificates revoked by one order: what would be cut, and what was. */
import type { Fingerprint, FleetId } from '../identity.ts';
import type { ClosedSession } from './receipt.ts';

/** Whose live sessions are meant. */
export type LiveScope =
  | { readonly fleet: FleetId }
  | { readonly issuer: string }
  | { readonly fingerprints: readonly Fingerprint[] };

/** The answer to a dry run: nothing was changed. */
export interface BulkForecast {
  readonly dryRun: true;
  readonly devices: number;
  readonly certificates: number;
  /** Live connections of those certificates, on every gateway that has answered. */
  readonly sessions: number;
  /** The first of the devices, by id. */
  readonly first: readonly string[];
  /** True when every gateway that follows the feed has answered in time. */
  readonly complete: boolean;
}

/** The answer to the order itself, over all its lots. */
export interface BulkReceipt {
  readonly dryRun: false;
  /** Of the last lot; 0 when there was nothing to revoke. */
  readonly changeId: number;
  /** Transactions that it took: each was in force, and told to the gateways, before the next began. */
  readonly lots: number;
  readonly devices: number;
  readonly certificates: number;
  readonly sessions: readonly ClosedSession[];
  readonly complete: boolean;
}
