/** A keep-alive connection of a device at the HTTPS door: judged once, ended by a revocation like any session. */
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#common/clock.ts';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Fault } from '#common/fault.ts';
import type { Finding } from '../admission/finding.ts';
import type { Admitted, Corridor } from '../admission/verdict.ts';
import type { Peer } from '../door/peer.ts';
import type { Meter } from '../limits/meter.ts';
import type { Meters } from '../limits/meters.ts';
import type { Rights } from '../sessions/rights.ts';
import type { Session } from '../sessions/session.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Intake, Origin } from '../telemetry/intake.ts';

export class HttpSession implements Session {
  readonly protocol = 'https';
  readonly peer: Peer;
  readonly connectedAtMs: number;
  readonly origin: Origin;
  entry: DirectoryEntry;
  rights: Rights;
  /** Null for a device that nothing limits. */
  meter: Meter | null;
  readonly #meters: Meters;
  readonly #socket: TLSSocket;

  private constructor(
    socket: TLSSocket,
    peer: Peer,
    { entry, rights }: Admitted,
    origin: Origin,
    meters: Meters,
    nowMs: number,
  ) {
    this.#socket = socket;
    this.peer = peer;
    this.entry = entry;
    this.rights = rights;
    this.origin = origin;
    this.#meters = meters;
    this.meter = meters.of(entry.device, rights.limits);
    this.connectedAtMs = nowMs;
  }

  /** The session of a connection, or the fault that every request on it is answered with. */
  static admit(
    socket: TLSSocket,
    peer: Peer,
    parts: { corridor: Corridor; sessions: Sessions; intake: Intake; meters: Meters; clock: Clock },
    finding?: Finding,
  ): HttpSession | Fault {
    const verdict = parts.corridor.judge('https', peer, null, socket, finding);
    if (!verdict.admitted) return verdict.fault;
    const { fleet, device } = verdict.entry;
    const origin = parts.intake.origin(fleet, device, 'https');
    const session = new HttpSession(socket, peer, verdict, origin, parts.meters, parts.clock.now());
    parts.sessions.add(session);
    socket.once('close', () => parts.sessions.remove(session));
    return session;
  }

  get clientId(): string {
    return this.entry.device;
  }

  renew(entry: DirectoryEntry, rights: Rights): void {
    this.entry = entry;
    this.rights = rights;
    this.meter = this.#meters.of(entry.device, rights.limits);
  }

  /** HTTP has no last word outside an answer: the next request, on a new connection, is told why. */
  end(_fault: Fault): Promise<void> {
    if (this.#socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.destroy();
    });
  }
}
