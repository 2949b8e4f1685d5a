/** What a device may do that is not connected at the moment: by the certificates and the role that it has now. */
import type { Directory, DirectoryEntry } from '#common/contract/directory.ts';
import { isDeviceId } from '#common/identity.ts';
import type { Rights } from '../sessions/rights.ts';
import { rightsOf } from './role.ts';

export interface Standing {
  readonly entry: DirectoryEntry;
  readonly rights: Rights;
}

/** None for a device that is out of service, or has no good certificate. */
export function standingOf(directory: Directory, device: string): Standing | undefined {
  if (!isDeviceId(device)) return undefined;
  const entry = directory
    .ofDevice(device)
    .find(({ certificateState, deviceState }) => certificateState === 'issued' && deviceState === 'active');
  return entry && { entry, rights: rightsOf(directory.role(entry.role), entry) };
}

/** Whether a device is known to be gone for good: revoked or deleted. One that the directory does not know may come yet. */
export function isGone(directory: Directory, device: string): boolean {
  if (!isDeviceId(device)) return false;
  const entries = directory.ofDevice(device);
  return (
    entries.length > 0 &&
    entries.every(({ deviceState }) => deviceState === 'deleted' || deviceState === 'revoked')
  );
}
