/**
 * Brings live sessions in line with the directory: a change of the registry, and the passing of time. Sessions that may
 * no longer be are ended in silence, neither Will nor queued message leaving afterwards; the others go on by new rights.
 */
import { type Clock, parseTimestamp } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { Directory, DirectoryEntry } from '#common/contract/directory.ts';
import type { ClosedSession } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Corridor, Verdict } from '../admission/verdict.ts';
import type { Session } from '../sessions/session.ts';
import type { Sessions } from '../sessions/sessions.ts';

export interface EvictionOptions {
  gateway: string;
  sessions: Sessions;
  corridor: Corridor;
  directory: Directory;
  clock: Clock;
  /** Takes from what is stored for devices that are away what the change has ended for good. Rejects when it cannot. */
  withdrawn: (change: Change) => Promise<void>;
}

/** So many sessions are judged before the loop gets a turn. */
const lot = 1000;
/** A peer that does not let go of its socket is reported as closed after so long: ours is destroyed by then. */
const closeBoundMs = 2_000;

export class Eviction {
  readonly #options: EvictionOptions;

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** Ends what the change forbids; resolves when those connections are closed and nothing of them is stored. */
  async apply(change: Change): Promise<ClosedSession[]> {
    const ended: Promise<ClosedSession>[] = [];
    for (const entry of change.entries) {
      for (const session of this.#options.sessions.ofCertificate(entry.fingerprint))
        this.#judge(session, entry, change, ended);
    }
    const { role, issuer, terms } = change;
    if (role) await this.#reconsiderAll((entry) => entry.role === role.name, change, ended);
    if (issuer) await this.#reconsiderAll((entry) => entry.issuer === issuer.id, change, ended);
    if (terms) await this.#reconsiderAll(({ fleet }) => fleet === terms.id, change, ended);
    const closed = await Promise.all(ended);
    await this.#options.withdrawn(change);
    return closed;
  }

  /**
   * Ends sessions whose certificate has run out while they were connected, or of which it is no longer known whether it
   * was revoked; those that came too early have all rights now.
   */
  sweep(): void {
    const { clock, directory, sessions } = this.#options;
    const nowMs = clock.now();
    const isOver = (untilMs: number | null) => untilMs !== null && untilMs < nowMs;
    const lapsed = new Set(
      directory.issuers().flatMap(({ id, statusUntilMs }) => (isOver(statusUntilMs) ? [id] : [])),
    );
    for (const session of sessions.all()) {
      const { notBeforeMs, notAfterMs, fleet, issuer, statusUntilMs } = session.entry;
      if (isOver(statusUntilMs) || lapsed.has(issuer)) {
        void session.end(statusLapsed(), { silence: true });
        continue;
      }
      if (notAfterMs >= nowMs) {
        if (session.connectedAtMs < notBeforeMs && nowMs >= notBeforeMs) this.#renew(session);
        continue;
      }
      // One that came after its certificate had run out is here to renew it, and has its grace.
      const cameLate = session.connectedAtMs > notAfterMs;
      if (cameLate && nowMs <= notAfterMs + (directory.fleet(fleet)?.graceMs ?? 0)) continue;
      const fault = new Fault('certificate-expired', 'The certificate of this session has expired.');
      void session.end(fault, { silence: true });
    }
  }

  #renew(session: Session): void {
    const verdict = this.#reconsidered(session, session.entry);
    if (verdict.admitted) session.renew(verdict.entry, verdict.rights);
  }

  #reconsidered(session: Session, entry: DirectoryEntry): Verdict {
    const clientId = session.protocol === 'https' ? null : session.clientId;
    return this.#options.corridor.reconsider({ peer: session.peer, clientId }, entry);
  }

  async #reconsiderAll(
    concerns: (entry: DirectoryEntry) => boolean,
    change: Change,
    ended: Promise<ClosedSession>[],
  ): Promise<void> {
    const { sessions, directory } = this.#options;
    let judged = 0;
    for (const session of [...sessions.all()]) {
      if (!concerns(session.entry)) continue;
      const entry = directory.find(session.entry.fingerprint);
      if (entry) this.#judge(session, entry, change, ended);
      if (++judged % lot === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  #judge(session: Session, entry: DirectoryEntry, change: Change, ended: Promise<ClosedSession>[]): void {
    const verdict = this.#reconsidered(session, entry);
    if (verdict.admitted) return session.renew(verdict.entry, verdict.rights);
    // Of a role that has changed nothing of before is left, not even a last word.
    if (change.role && verdict.rights) session.renew(entry, verdict.rights);
    ended.push(this.#end(session, verdict.fault, change));
  }

  async #end(session: Session, fault: Fault, change: Change): Promise<ClosedSession> {
    const { clock, gateway } = this.#options;
    const patience = new AbortController();
    await Promise.race([session.end(fault, { silence: true }), clock.sleep(closeBoundMs, patience.signal)]);
    patience.abort();
    const closedAfterMs = Math.max(0, clock.now() - parseTimestamp(change.time));
    return { protocol: session.protocol, gateway, address: session.peer.address, closedAfterMs };
  }
}

const statusLapsed = () =>
  new Fault(
    'revocation-unknown',
    'Whether the certificate of this session was revoked by its issuer is no longer known; try again.',
  );
