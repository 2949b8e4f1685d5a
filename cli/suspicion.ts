/** Why a device is thought to be two, in words for the operator. */
import type { Suspicion } from '#common/contract/suspicion.ts';
import { Fault } from '#common/fault.ts';
import { paint } from './output.ts';
import type { RegistryApi } from './registry-api.ts';

/** Nothing for a device that is not. */
export function suspicionLines({ id, suspicion }: { id: string; suspicion: Suspicion | null }): string[] {
  if (!suspicion) return [];
  const { reason, since, at, gateway, score, places } = suspicion;
  const seen =
    reason === 'takeovers'
      ? "two networks end each other's sessions"
      : 'its sequence of messages has gone back elsewhere';
  return [
    paint('yellow', `This device seems to be two: ${seen} (score ${score}, on ${gateway}).`),
    `  first ${since}, last ${at}`,
    ...places.map((place) => `  ${place.at}  ${place.address}`),
    `  Find out which is real; renew or revoke its certificate, then "fleetgate devices enable ${id}".`,
    '',
  ];
}

/** The same of a device that the registry is asked for; nothing for one that it does not know, or any more. */
export async function suspicionOf(api: RegistryApi, device: string): Promise<string[]> {
  try {
    return suspicionLines(await api.call('GET', `/v1/devices/${encodeURIComponent(device)}`));
  } catch (thrown) {
    if (Fault.of(thrown).kind === 'not-found') return [];
    throw thrown;
  }
}
