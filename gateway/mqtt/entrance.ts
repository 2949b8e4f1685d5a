/** A CONNECT's way in, step by step: any step may refuse. Nothing is awaited, so nothing can change in between. */
import type { Protocol } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Finding } from '../admission/finding.ts';
import type { Admitted, Corridor, Refused } from '../admission/verdict.ts';
import type { Handshake, Peer } from '../door/peer.ts';
import type { Ownership } from '../sessions/ownership.ts';
import type { Session } from '../sessions/session.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { MqttSettings } from '../settings.ts';
import type { Connect } from './connect-packet.ts';
import { judgeWill } from './will.ts';

export interface EntranceParts {
  readonly corridor: Corridor;
  readonly settings: MqttSettings;
}

/** Who comes in, with the CONNECT as it is to be kept; or what the corridor has refused. Faults `will-not-allowed`. */
export function enter(
  protocol: Protocol,
  peer: Peer,
  asked: Connect,
  handshake: Handshake,
  finding: Finding | undefined,
  { corridor, settings }: EntranceParts,
): (Admitted & { readonly connect: Connect }) | Refused {
  const verdict = corridor.judge(protocol, peer, asked.clientId, handshake, finding);
  if (!verdict.admitted) return verdict;
  const { entry, rights } = verdict;
  // A device that always leaves a Will is to get in to renew all the same; the Will is not kept.
  const connect = rights.renewalOnly ? { ...asked, will: null } : asked;
  judgeWill(connect.will, entry.device, rights, settings);
  return { ...verdict, connect };
}

/** Ends an older session of the client id, here or in another process: null, or resolves when that one has let go. */
export function takeOver(
  session: Session,
  { sessions, ownership }: { readonly sessions: Sessions; readonly ownership: Ownership },
): Promise<void> | null {
  const older = sessions.ofClient(session.clientId)?.end(takenOver(), { silence: false }) ?? null;
  return ownership.claim(session, older);
}

export const takenOver = () =>
  new Fault('taken-over', 'The device has connected again; this older session ends.');
