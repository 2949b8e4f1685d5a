/** What a device may do that is not connected at the moment: by the certificates and the role that it has now. */
import type { Directory } from '#common/contract/directory.ts';
import { isDeviceId } from '#common/identity.ts';
import { rightsOf } from './role.ts';

/** Whether a device may leave a retained message on a topic: none that is out of service, or has no good certificate. */
export function mayRetain(directory: Directory, device: string, topic: string): boolean {
  if (!isDeviceId(device)) return false;
  const entry = directory
    .ofDevice(device)
    .find(({ certificateState, deviceState }) => certificateState === 'issued' && deviceState === 'active');
  return entry !== undefined && rightsOf(directory.role(entry.role), entry).mayPublish(topic, 0, true);
}
