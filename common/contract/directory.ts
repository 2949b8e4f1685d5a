/**
 * The directory: what a gateway must know of a certificate to judge the device that shows it.
 * The registry writes it, gateways read it: from the registry's own file when they share a machine, else from a
 * replica that follows the change feed.
 */
import type { DeviceId, Fingerprint, FleetId } from '../identity.ts';
import type { MessageLimits } from './message-limits.ts';

export const certificateStates = ['reserved', 'issued', 'held', 'revoked'] as const;
export type CertificateState = (typeof certificateStates)[number];

export const deviceStates = ['active', 'pending', 'disabled', 'quarantined', 'revoked', 'deleted'] as const;
export type DeviceState = (typeof deviceStates)[number];

/** One issued certificate and the device it speaks for. Complete and frozen: no optional facts. */
export interface DirectoryEntry {
  readonly fingerprint: Fingerprint;
  /** Lower-case hex without leading zeros pairs dropped, as `openssl x509 -serial` prints it, lower-cased. */
  readonly serialNumber: string;
  readonly device: DeviceId;
  readonly fleet: FleetId;
  readonly certificateState: CertificateState;
  readonly deviceState: DeviceState;
  /** The role the device acts in: its own, else its fleet's. */
  readonly role: string;
  /** For `${device.attributes.x}` in role patterns. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Id of the issuer: one of the registry's own CAs, or a trust anchor of somebody else's. */
  readonly issuer: string;
  /** Until when its state is known not to be revoked by a foreign issuer; null where the registry itself is the word. */
  readonly statusUntilMs: number | null;
  /** From when on it may be renewed; null for certificates of foreign issuers. */
  readonly renewAfterMs: number | null;
  /** How much the device may send, before what its fleet and its role say; null when nothing was said of it. */
  readonly limits: MessageLimits | null;
}

/**
 * `preferred` signs what is new, `active` could, `draining` signs nothing more and is good for what it has signed,
 * `removed` is trusted no longer. Foreign issuers are `active` or `removed`.
 */
export const issuerStates = ['preferred', 'active', 'draining', 'removed'] as const;
export type IssuerState = (typeof issuerStates)[number];

/** `registered`: only devices the registry knows; `jit`: others come to be at their first connect; `enroll-only`: good for fetching an operational certificate alone. */
export const anchorModes = ['registered', 'jit', 'enroll-only'] as const;
export type AnchorMode = (typeof anchorModes)[number];

/** What the gateways must know of a fleet. */
export interface FleetTerms {
  readonly id: FleetId;
  /** How long after notAfter a certificate is still good for renewal, and for nothing else. */
  readonly graceMs: number;
  /** How long before notBefore it is so: devices whose clocks, or ours, are wrong. */
  readonly skewMs: number;
  /** How much its devices may send, before what their role says; null when nothing was said. */
  readonly limits: MessageLimits | null;
}

/** A CA whose certificates the directory may hold: the registry's own, or a trust anchor of somebody else's. */
export interface IssuerEntry {
  readonly id: string;
  readonly kind: 'own' | 'foreign';
  readonly state: IssuerState;
  /** PEM. */
  readonly certificate: string;
  /** Null for the registry's own. */
  readonly fleet: FleetId | null;
  readonly mode: AnchorMode | null;
  /** Until when its revocation state as a whole is known; null where nothing has to be fetched. */
  readonly statusUntilMs: number | null;
}

/** Looks one certificate up; microseconds, synchronous, on every connection, resumed ones too. */
export interface Directory {
  find(fingerprint: Fingerprint): DirectoryEntry | undefined;
  /** Every certificate of a device that the directory knows. */
  ofDevice(device: DeviceId): DirectoryEntry[];
  role(name: string): RoleDocument | undefined;
  fleet(id: FleetId): FleetTerms | undefined;
  issuer(id: string): IssuerEntry | undefined;
  /** Every issuer that is not removed. */
  issuers(): readonly IssuerEntry[];
  /** Milliseconds since the directory was last known to be complete; 0 when it is the registry's own file. */
  lagMs(): number;
}

export const roleActions = ['publish', 'subscribe', 'http'] as const;
export type RoleAction = (typeof roleActions)[number];

/**
 * A role grants; what no rule grants is denied. A publish pattern or a subscribe pattern is an MQTT topic filter, an
 * http pattern a path; each may use `${device.id}`, `${device.fleet}` and `${device.attributes.x}` for whole or part
 * levels. A variable that is missing, or whose value holds `+ # /` or NUL, denies.
 */
export interface RoleDocument {
  readonly name: string;
  readonly rules: readonly RoleRule[];
  /** May hold several sessions at once, with client ids `<device>/<suffix>` or `<device>:<suffix>`. */
  readonly severalSessions: boolean;
  /** A Will on a Sparkplug NDEATH topic that the rules grant is published even when the device is cut off; false when absent. */
  readonly lastWord?: boolean;
  /** How much whoever acts in it may send, unless its fleet or the device says otherwise. */
  readonly limits?: MessageLimits;
}

export const httpMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
export type HttpMethod = (typeof httpMethods)[number];

export interface RoleRule {
  readonly allow: RoleAction;
  readonly pattern: string;
  /** Highest QoS granted; 2 when absent. */
  readonly maxQos?: 0 | 1 | 2;
  /** May set RETAIN; false when absent. Publish rules only. */
  readonly retain?: boolean;
  /**
   * Of http rules: what one may do there. When absent, a device may do anything at its door, and an operator may read at
   * the registry's.
   */
  readonly methods?: readonly HttpMethod[];
}
