/** What is revoked leaves nothing behind in the store: neither session nor queue, Will or retained message. */
import type { Change } from '#common/contract/change.ts';
import type { SessionStore } from './session-store.ts';

const retryMs = 5_000;

/**
 * Forgets what a change of the registry has ended for good. A certificate that was replaced takes nothing along: the
 * session is its device's, and goes on with the new one. Rejects when the disk does, and goes on trying.
 */
export async function withdraw(store: SessionStore, change: Change): Promise<void> {
  try {
    await forgetAll(store, change);
  } catch (thrown) {
    store.clock.after(retryMs, () => {
      withdraw(store, change).catch(() => {
        // The caller was told the first time; the next try is set.
      });
    });
    throw thrown;
  }
}

async function forgetAll(store: SessionStore, { entries, reason }: Change): Promise<void> {
  const devices = new Set<string>();
  const certificates: string[] = [];
  for (const { device, deviceState, certificateState, fingerprint } of entries) {
    if (deviceState === 'deleted' || deviceState === 'revoked') devices.add(device);
    else if (certificateState === 'revoked' && reason !== 'superseded') certificates.push(fingerprint);
  }
  const forgotten = [...devices].flatMap((device) => forget(store, device));
  for (const fingerprint of certificates) forgotten.push(store.sessions.forget({ fingerprint }));
  await Promise.all(forgotten);
}

/** The same for what was withdrawn while nobody was listening. */
export async function withdrawGone(store: SessionStore, isGone: (device: string) => boolean): Promise<void> {
  const devices = new Set([...store.sessions.devices(), ...store.retained.devices()]);
  await Promise.all([...devices].filter(isGone).flatMap((device) => forget(store, device)));
}

const forget = (store: SessionStore, device: string): Promise<void>[] => [
  store.sessions.forget({ device }),
  store.retained.forget(device),
];
