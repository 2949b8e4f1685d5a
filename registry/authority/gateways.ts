/** The gateways that follow this registry, in this process or behind a feed connection, and what they report. */
import type { Clock } from '#common/clock.ts';
import type { LiveScope } from '#common/contract/bulk.ts';
import type { Change } from '#common/contract/change.ts';
import type { CommandOffer } from '#common/contract/command.ts';
import type { Decision, DecisionQuery, Outlook } from '#common/contract/decision.ts';
import type { GatewayPeer } from '#common/contract/line.ts';
import type { Receipt, SessionView } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { Feed } from './feed.ts';

export interface GatewaysOptions {
  feed: Feed;
  metrics: Metrics;
  clock: Clock;
  log: Logger;
  /** Longest wait for their answers. */
  timeoutMs: number;
}

const offerAgainMs = 1_000;

export class Gateways {
  readonly #options: GatewaysOptions;
  readonly #peers = new Set<GatewayPeer>();
  /** Those that could not be told of a command. */
  readonly #unheard = new Set<GatewayPeer>();

  constructor(options: GatewaysOptions) {
    this.#options = options;
  }

  attach(peer: GatewayPeer): () => void {
    this.#peers.add(peer);
    return () => this.#peers.delete(peer);
  }

  get names(): string[] {
    return [...this.#peers].map((peer) => peer.name);
  }

  /** Tells everyone of a committed change and gathers which connections it ended. */
  async announce(change: Change): Promise<Receipt> {
    const { feed, metrics } = this.#options;
    feed.announce(change);
    const answers = await this.#ask((peer) => peer.apply(change));
    const sessions = answers.values.flat();
    for (const { closedAfterMs } of sessions)
      metrics.revocationPropagationSeconds.observe(closedAfterMs / 1000);
    const certificates = change.entries.map((entry) => entry.fingerprint);
    return { changeId: change.id, certificates, sessions, complete: answers.complete };
  }

  /** The same, for changes whose receipt nobody waits for. */
  announceLater(change: Change): void {
    this.announce(change).catch((thrown) => {
      this.#options.log.error({ fault: Fault.of(thrown).message }, 'A change could not be announced.');
    });
  }

  /** Every gateway hears of a command at once: whichever has the device hands it over. Nobody is waited for. */
  offer(command: CommandOffer): void {
    for (const peer of this.#peers) peer.offer(command).catch(() => this.#offerLater(peer));
  }

  /** One that could not be told is told that it has missed some, when it can. */
  #offerLater(peer: GatewayPeer): void {
    if (this.#unheard.has(peer)) return;
    this.#unheard.add(peer);
    this.#options.clock.after(offerAgainMs, () => {
      this.#unheard.delete(peer);
      if (this.#peers.has(peer)) peer.offer(null).catch(() => this.#offerLater(peer));
    });
  }

  async sessions(device: string): Promise<SessionView[]> {
    return (await this.#ask((peer) => peer.sessions(device))).values.flat();
  }

  /** Live connections of many. */
  async live(scope: LiveScope): Promise<{ count: number; complete: boolean }> {
    const { values, complete } = await this.#ask((peer) => peer.live(scope));
    return { count: values.reduce((sum, each) => sum + each, 0), complete };
  }

  async decisions(query: DecisionQuery): Promise<Decision[]> {
    const all = (await this.#ask((peer) => peer.decisions(query))).values.flat();
    return all.sort((a, b) => (a.time < b.time ? 1 : -1)).slice(0, query.limit ?? 100);
  }

  /** Of every gateway that answers. */
  async outlook(device: string): Promise<Outlook[]> {
    return (await this.#ask((peer) => peer.outlook(device))).values.flat();
  }

  async #ask<T>(question: (peer: GatewayPeer) => Promise<T>): Promise<{ values: T[]; complete: boolean }> {
    const { clock, timeoutMs, log } = this.#options;
    const values: T[] = [];
    const patience = new AbortController();
    const asked = [...this.#peers].map(async (peer) => {
      try {
        values.push(await question(peer));
        return true;
      } catch (thrown) {
        log.warn({ gateway: peer.name, fault: Fault.of(thrown).message }, 'A gateway did not answer.');
        return false;
      }
    });
    const timeout = clock.sleep(timeoutMs, patience.signal).then(() => [false]);
    const answered = await Promise.race([Promise.all(asked), timeout]);
    patience.abort();
    return { values, complete: answered.every(Boolean) };
  }
}
