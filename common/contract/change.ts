/**
 * The change feed: everything a gateway must learn from the registry, in one order, each change with a number that
 * only grows. Applying a change twice does no harm; a follower that stopped at N resumes with `since=N`.
 */
import type { DeviceId, FleetId } from '../identity.ts';
import type { DirectoryEntry, FleetTerms, IssuerEntry, RoleDocument } from './directory.ts';

export const changeKinds = [
  'fleet-created',
  'fleet-changed',
  'certificate-issued',
  'certificate-revoked',
  'certificate-held',
  'certificate-reinstated',
  'certificate-expired',
  'certificate-status',
  'certificates-revoked',
  'device-registered',
  'device-changed',
  'device-disabled',
  'device-enabled',
  'device-suspected',
  'device-quarantined',
  'device-revoked',
  'device-deleted',
  'role-changed',
  'issuer-changed',
] as const;
export type ChangeKind = (typeof changeKinds)[number];

/** Changes that can end no connection: a gateway takes them in and does not answer. There may be a million of them. */
export const silentChanges: readonly ChangeKind[] = [
  'certificate-issued',
  'certificate-expired',
  'certificate-status',
  'fleet-created',
  'device-suspected',
];

export interface Change {
  /** Grows by at least one a change; never reused. */
  readonly id: number;
  /** RFC 3339. */
  readonly time: string;
  readonly kind: ChangeKind;
  readonly fleet: FleetId | null;
  readonly device: DeviceId | null;
  /** The directory entries as they are after the change: replace by fingerprint. Empty for fleets and roles. */
  readonly entries: readonly DirectoryEntry[];
  /** The role as it is after the change, for `role-changed`. */
  readonly role: RoleDocument | null;
  /** The fleet as it is after the change, for `fleet-created` and `fleet-changed`. */
  readonly terms: FleetTerms | null;
  /** The issuer as it is after the change, for `issuer-changed`. */
  readonly issuer: IssuerEntry | null;
  /** Why, in the operator's word: an RFC 5280 reason for revocations. */
  readonly reason: string | null;
}
