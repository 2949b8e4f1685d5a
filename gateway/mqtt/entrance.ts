/** A CONNECT's way in, step by step: any step may refuse. Nothing is awaited, so nothing can change in between. */
import type { Protocol } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Finding } from '../admission/finding.ts';
import type { Admitted, Corridor, Refused } from '../admission/verdict.ts';
import type { Handshake, Peer } from '../door/peer.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { MqttSettings } from '../settings.ts';
import type { Connect } from './connect-packet.ts';
import { judgeWill } from './will.ts';

export interface EntranceParts {
  readonly corridor: Corridor;
  readonly sessions: Sessions;
  readonly settings: MqttSettings;
}

/** Who comes in, with the CONNECT as it is to be kept; or what the corridor has refused. Faults `will-not-allowed`. */
export function enter(
  protocol: Protocol,
  peer: Peer,
  asked: Connect,
  handshake: Handshake,
  finding: Finding | undefined,
  { corridor, sessions, settings }: EntranceParts,
): (Admitted & { readonly connect: Connect }) | Refused {
  const verdict = corridor.judge(protocol, peer, asked.clientId, handshake, finding);
  if (!verdict.admitted) return verdict;
  const { entry, rights } = verdict;
  // A device that always leaves a Will is to get in to renew all the same; the Will is not kept.
  const connect = rights.renewalOnly ? { ...asked, will: null } : asked;
  judgeWill(connect.will, entry.device, rights, settings);
  const older = sessions.ofClient(connect.clientId);
  if (older)
    void older.end(new Fault('taken-over', 'The device has connected again; this older session ends.'), {
      silence: false,
    });
  return { ...verdict, connect };
}
