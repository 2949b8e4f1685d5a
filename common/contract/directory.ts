/**
 * The directory: what a gateway must know of a certificate to judge the device that shows it.
 * The registry writes it, gateways read it: from the registry's own file when they share a machine, else from a
 * replica that follows the change feed.
 */
import type { DeviceId, Fingerprint, FleetId } from '../identity.ts';

export const certificateStates = ['reserved', 'issued', 'revoked'] as const;
export type CertificateState = (typeof certificateStates)[number];

export const deviceStates = ['active', 'disabled', 'revoked', 'deleted'] as const;
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
}

/** Looks one certificate up; microseconds, synchronous, on every connection, resumed ones too. */
export interface Directory {
  find(fingerprint: Fingerprint): DirectoryEntry | undefined;
  /** Every certificate of a device that the directory knows. */
  ofDevice(device: DeviceId): DirectoryEntry[];
  role(name: string): RoleDocument | undefined;
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
}

export interface RoleRule {
  readonly allow: RoleAction;
  readonly pattern: string;
  /** Highest QoS granted; 2 when absent. */
  readonly maxQos?: 0 | 1 | 2;
  /** May set RETAIN; false when absent. Publish rules only. */
  readonly retain?: boolean;
}
