/** A directory entry as a row of SQL: the same columns in the registry's file and in a gateway's replica. */
import type { DeviceId, Fingerprint } from '../identity.ts';
import type { DirectoryEntry } from './directory.ts';

export interface EntryRow {
  fingerprint: Fingerprint;
  serial: string;
  device: DeviceId;
  fleet: DirectoryEntry['fleet'];
  certificate_state: DirectoryEntry['certificateState'];
  device_state: DirectoryEntry['deviceState'];
  role: string;
  /** JSON. */
  attributes: string;
  not_before_ms: number;
  not_after_ms: number;
  issuer: string;
  status_until_ms: number | null;
  renew_after_ms: number | null;
  /** JSON. */
  limits: string | null;
}

const noAttributes: DirectoryEntry['attributes'] = Object.freeze({});

export function entryOf(row: EntryRow): DirectoryEntry {
  return {
    fingerprint: row.fingerprint,
    serialNumber: row.serial,
    device: row.device,
    fleet: row.fleet,
    certificateState: row.certificate_state,
    deviceState: row.device_state,
    role: row.role,
    attributes: row.attributes === '{}' ? noAttributes : JSON.parse(row.attributes),
    notBeforeMs: row.not_before_ms,
    notAfterMs: row.not_after_ms,
    issuer: row.issuer,
    statusUntilMs: row.status_until_ms,
    renewAfterMs: row.renew_after_ms,
    limits: row.limits === null ? null : JSON.parse(row.limits),
  };
}
