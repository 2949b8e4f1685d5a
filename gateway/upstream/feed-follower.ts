/**
 * Keeps a replica in line with a remote registry: follows the feed, hands each change to the gateway, reports which
 * connections it ended, and answers the registry's questions. It never gives up; the replica ages meanwhile.
 */
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { type Change, silentChanges } from '#common/contract/change.ts';
import type { CommandOffer } from '#common/contract/command.ts';
import type { Answer, FeedLine, GatewayPeer, Question } from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { RegistryClient } from './registry-client.ts';
import type { Replica } from './replica.ts';

export interface FeedFollowerOptions {
  /** Opened anew for every try, since the gateway's certificate may have been renewed. */
  connect: () => RegistryClient;
  replica: Replica;
  clock: Clock;
  log: Logger;
  name: string;
}

const retry = { firstMs: 200, limitMs: 10_000 };

export class FeedFollower implements AsyncDisposable {
  readonly #options: FeedFollowerOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #caughtUp: (() => void) | undefined;
  /** Resolves when the replica was complete for the first time in this run. */
  readonly caughtUp: Promise<void>;
  #gateway: GatewayPeer | undefined;

  constructor(options: FeedFollowerOptions) {
    this.#options = options;
    this.caughtUp = new Promise((resolve) => {
      this.#caughtUp = resolve;
    });
    this.#done = this.#run();
  }

  /** From now on the gateway hears of changes and questions. */
  attach(gateway: GatewayPeer): () => void {
    this.#gateway = gateway;
    return () => {
      this.#gateway = undefined;
    };
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    let attempt = 0;
    while (!signal.aborted) {
      try {
        await this.#followOnce(() => {
          attempt = 0;
        });
        if (!signal.aborted) log.info({}, 'The registry ended the feed; following it again.');
      } catch (thrown) {
        if (!signal.aborted)
          log.warn({ fault: Fault.of(thrown).message }, 'The feed of the registry broke off.');
      }
      attempt += 1;
      await clock.sleep(backoffMs(retry, attempt), signal);
    }
  }

  async #followOnce(alive: () => void): Promise<void> {
    const { connect, replica, name } = this.#options;
    await using client = connect();
    let isFirst = true;
    for await (const lines of client.follow(name, replica.head, this.#stop.signal)) {
      alive();
      // Offers of commands are not kept for who was away.
      if (isFirst) this.#offer(null);
      isFirst = false;
      this.#takeIn(lines, client);
    }
  }

  /** One transaction for the lot: catching up after an absence is bound by SQLite, not by the count of changes. */
  #takeIn(lines: readonly FeedLine[], client: RegistryClient): void {
    const { replica } = this.#options;
    const changes: Change[] = [];
    for (const line of lines) if ('change' in line) changes.push(line.change);
    replica.apply(changes);
    for (const change of changes) this.#report(this.#applyAndAnswer(change, client));
    for (const line of lines) {
      if ('heartbeat' in line) this.#heard(line.heartbeat.head);
      if ('offer' in line) this.#offer(line.offer);
      if ('question' in line) this.#report(this.#answer(line.question, client));
    }
  }

  /** Nobody waits for it. */
  #offer(command: CommandOffer | null): void {
    this.#gateway?.offer(command).catch((thrown) => {
      this.#options.log.warn({ fault: Fault.of(thrown).message }, 'A command could not be handed on.');
      // A gateway of several processes: the one that listens may have missed it.
      if (command) this.#offer(null);
    });
  }

  #heard(head: number): void {
    this.#options.replica.heard(head);
    if (head <= this.#options.replica.head) this.#caughtUp?.();
  }

  async #applyAndAnswer(change: Change, client: RegistryClient): Promise<void> {
    const closed = (await this.#gateway?.apply(change)) ?? [];
    if (silentChanges.includes(change.kind)) return;
    await client.answer(this.#options.name, { applied: change.id, closed });
  }

  async #answer(question: Question, client: RegistryClient): Promise<void> {
    await client.answer(this.#options.name, await answerTo(question, this.#gateway));
  }

  /** An answer that does not arrive leaves the receipt incomplete, which the registry says by itself. */
  #report(work: Promise<void>): void {
    work.catch((thrown) => {
      this.#options.log.warn({ fault: Fault.of(thrown).message }, 'An answer did not reach the registry.');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}

async function answerTo(question: Question, gateway: GatewayPeer | undefined): Promise<Answer> {
  const { id } = question;
  switch (question.ask) {
    case 'sessions':
      return { question: id, sessions: (await gateway?.sessions(question.device)) ?? [] };
    case 'live':
      return { question: id, live: (await gateway?.live(question.scope)) ?? 0 };
    case 'decisions':
      return { question: id, decisions: (await gateway?.decisions(question.query)) ?? [] };
    case 'outlook':
      return { question: id, outlook: (await gateway?.outlook(question.device)) ?? [] };
  }
}
