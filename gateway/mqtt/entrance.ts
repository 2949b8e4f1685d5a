/** A CONNECT's way in, step by step: any step may refuse. Nothing is awaited, so nothing can change in between. */
import { randomBytes } from 'node:crypto';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Finding } from '../admission/finding.ts';
import type { Admitted, Corridor, Refused } from '../admission/verdict.ts';
import type { Handshake, Peer } from '../door/peer.ts';
import type { CloneWatch } from '../limits/clone-watch.ts';
import type { Ownership } from '../sessions/ownership.ts';
import type { Rights } from '../sessions/rights.ts';
import type { Session } from '../sessions/session.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { MqttSettings } from '../settings.ts';
import { type Connect, withClientId } from './connect-packet.ts';
import { Tongue } from './dialect.ts';
import { judgeWill } from './will.ts';

export interface EntranceParts {
  readonly corridor: Corridor;
  readonly settings: MqttSettings;
}

/** Who comes in, with the CONNECT as it is to be kept; or what the corridor has refused. Faults `unauthenticated`, `will-not-allowed`. */
export function enter(
  protocol: Protocol,
  peer: Peer,
  asked: Connect,
  handshake: Handshake,
  finding: Finding | undefined,
  { corridor, settings }: EntranceParts,
): (Admitted & { readonly connect: Connect }) | Refused {
  // Enhanced authentication (section 4.12) has no place where the certificate has said everything [MQTT-4.12.0-1].
  if (asked.authenticates)
    throw new Fault('unauthenticated', 'The client certificate is the only authentication method here.');
  // 3.1.1 may leave its id to us only for a session that is not kept [MQTT-3.1.3-8].
  const unnamed = asked.clientId === '' && (asked.version === 5 || asked.clean);
  const verdict = corridor.judge(protocol, peer, unnamed ? null : asked.clientId, handshake, finding);
  if (!verdict.admitted) return verdict;
  const { entry, rights } = verdict;
  const named = unnamed ? withClientId(asked, freeId(entry.device, rights)) : asked;
  // A device that always leaves a Will is to get in to renew all the same; the Will is not kept.
  const connect = rights.renewalOnly ? { ...named, will: null } : inOurWords(named, entry, settings);
  judgeWill(connect.will, entry.device, rights, settings);
  return { ...verdict, connect };
}

/** The device id; with a suffix that nobody else has where the device may have several sessions [MQTT-3.2.2-16]. */
const freeId = (device: string, { severalSessions }: Pick<Rights, 'severalSessions'>): string =>
  severalSessions ? `${device}/${randomBytes(8).toString('hex')}` : device;

/** Its Will too may be on a topic of another platform. */
function inOurWords(asked: Connect, { fleet, device }: DirectoryEntry, { topics }: MqttSettings): Connect {
  if (!asked.will) return asked;
  const meaning = Tongue.of(topics, fleet, device)?.meaningOf(asked.will.topic);
  return meaning ? { ...asked, will: { ...asked.will, topic: meaning.topic } } : asked;
}

export interface TakeOverParts {
  readonly sessions: Sessions;
  readonly ownership: Ownership;
  readonly clones: CloneWatch;
}

/** Ends an older session of the client id, here or in another process: null, or resolves when that one has let go. */
export function takeOver(
  session: Session,
  { sessions, ownership, clones }: TakeOverParts,
): Promise<void> | null {
  const former = sessions.ofClient(session.clientId);
  if (former) clones.tookOver(former, session);
  const older = former?.end(takenOver(), { silence: false }) ?? null;
  const elsewhere = ownership.claim(session, older);
  if (elsewhere === null) return null;
  return elsewhere.then((displaced) => {
    if (!displaced) return;
    clones.unpack(session.entry.device, displaced.luggage);
    clones.tookOver(displaced, session);
  });
}

export const takenOver = () =>
  new Fault('taken-over', 'The device has connected again; this older session ends.');
