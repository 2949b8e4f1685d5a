/** Why a device is thought to be two, in words for the operator. */
import type { Suspicion } from '#common/contract/suspicion.ts';
import { paint } from './output.ts';

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
