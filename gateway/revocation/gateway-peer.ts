/** This gateway, as the registry sees it. */
import { timestamp } from '#common/clock.ts';
import type { LiveScope } from '#common/contract/bulk.ts';
import type { Change } from '#common/contract/change.ts';
import type { CommandOffer } from '#common/contract/command.ts';
import type { Decision, DecisionQuery, Outlook } from '#common/contract/decision.ts';
import type { GatewayPeer } from '#common/contract/line.ts';
import type { ClosedSession, SessionView } from '#common/contract/receipt.ts';
import type { Journal } from '../admission/journal.ts';
import { type OutlookParts, outlookOf } from '../admission/outlook.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Eviction } from './eviction.ts';

/** Takes what the registry offers for devices here. */
export type TakeOffer = (command: CommandOffer | null) => void;

export class LocalGatewayPeer implements GatewayPeer {
  readonly name: string;
  readonly #sessions: Sessions;
  readonly #journal: Journal;
  readonly #eviction: Eviction;
  readonly #outlook: Omit<OutlookParts, 'gateway'>;
  readonly #takeOffer: TakeOffer;

  constructor(parts: {
    name: string;
    sessions: Sessions;
    journal: Journal;
    eviction: Eviction;
    outlook: Omit<OutlookParts, 'gateway'>;
    takeOffer: TakeOffer;
  }) {
    this.name = parts.name;
    this.#sessions = parts.sessions;
    this.#journal = parts.journal;
    this.#eviction = parts.eviction;
    this.#outlook = parts.outlook;
    this.#takeOffer = parts.takeOffer;
  }

  apply(change: Change): Promise<ClosedSession[]> {
    return this.#eviction.apply(change);
  }

  async offer(command: CommandOffer | null): Promise<void> {
    this.#takeOffer(command);
  }

  async sessions(device: string): Promise<SessionView[]> {
    return this.#sessions.ofDevice(device).map((session) => ({
      protocol: session.protocol,
      gateway: this.name,
      address: session.peer.address,
      clientId: session.clientId,
      fingerprint: session.entry.fingerprint,
      connectedAt: timestamp(session.connectedAtMs),
    }));
  }

  async live(scope: LiveScope): Promise<number> {
    if ('fingerprints' in scope)
      return scope.fingerprints.reduce((sum, each) => sum + this.#sessions.ofCertificate(each).length, 0);
    let count = 0;
    for (const { entry } of this.#sessions.all())
      if ('fleet' in scope ? entry.fleet === scope.fleet : entry.issuer === scope.issuer) count += 1;
    return count;
  }

  async decisions(query: DecisionQuery): Promise<Decision[]> {
    return this.#journal.find(query);
  }

  async outlook(device: string): Promise<Outlook[]> {
    return outlookOf(device, { ...this.#outlook, gateway: this.name });
  }
}
