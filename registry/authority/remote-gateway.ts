/** A gateway behind its feed connection: changes go out with the feed, questions beside it, answers come back by POST. */
import { randomUUID } from 'node:crypto';
import type { LiveScope } from '#common/contract/bulk.ts';
import { type Change, silentChanges } from '#common/contract/change.ts';
import type { CommandOffer } from '#common/contract/command.ts';
import type { Decision, DecisionQuery, Outlook } from '#common/contract/decision.ts';
import type { Answer, GatewayPeer, Question } from '#common/contract/line.ts';
import type { ClosedSession, SessionView } from '#common/contract/receipt.ts';

/** Questions that were never answered are forgotten, oldest first. */
const mostPending = 1000;
/** Commands that wait for the feed connection; beyond, the gateway is told that it has missed some. */
const mostOffers = 256;

export class RemoteGateway implements GatewayPeer {
  readonly name: string;
  readonly #wake: () => void;
  #questions: Question[] = [];
  #offers: (CommandOffer | null)[] = [];
  readonly #applied = new Map<number, (closed: ClosedSession[]) => void>();
  readonly #asked = new Map<string, (answer: Answer) => void>();

  /** `wake` tells the feed connection that there is something to send. */
  constructor(name: string, wake: () => void) {
    this.name = name;
    this.#wake = wake;
  }

  apply(change: Change): Promise<ClosedSession[]> {
    if (silentChanges.includes(change.kind)) return Promise.resolve([]);
    return new Promise((resolve) => {
      bound(this.#applied);
      this.#applied.set(change.id, resolve);
    });
  }

  async sessions(device: string): Promise<SessionView[]> {
    const answer = await this.#ask((id) => ({ id, ask: 'sessions', device }));
    return 'sessions' in answer ? answer.sessions : [];
  }

  async live(scope: LiveScope): Promise<number> {
    const answer = await this.#ask((id) => ({ id, ask: 'live', scope }));
    return 'live' in answer ? answer.live : 0;
  }

  async decisions(query: DecisionQuery): Promise<Decision[]> {
    const answer = await this.#ask((id) => ({ id, ask: 'decisions', query }));
    return 'decisions' in answer ? answer.decisions : [];
  }

  async outlook(device: string): Promise<Outlook[]> {
    const answer = await this.#ask((id) => ({ id, ask: 'outlook', device }));
    return 'outlook' in answer ? answer.outlook : [];
  }

  /** Heard is what the feed connection has taken; nobody waits for more. */
  async offer(command: CommandOffer | null): Promise<void> {
    if (this.#offers.length < mostOffers) this.#offers.push(command);
    else if (this.#offers.at(-1) !== null) this.#offers.push(null);
    this.#wake();
  }

  /** What the feed connection sends of commands. */
  takeOffers(): (CommandOffer | null)[] {
    return this.#offers.splice(0);
  }

  /** What is to be asked next; the feed connection sends it. */
  takeQuestions(): Question[] {
    return this.#questions.splice(0);
  }

  /** An answer of this gateway; one that nobody waits for any more is dropped. */
  answered(answer: Answer): void {
    if ('applied' in answer) {
      this.#applied.get(answer.applied)?.(answer.closed);
      this.#applied.delete(answer.applied);
    } else {
      this.#asked.get(answer.question)?.(answer);
      this.#asked.delete(answer.question);
    }
  }

  #ask(question: (id: string) => Question): Promise<Answer> {
    const id = randomUUID();
    return new Promise((resolve) => {
      bound(this.#asked);
      this.#asked.set(id, resolve);
      this.#questions.push(question(id));
      this.#wake();
    });
  }
}

function bound<K>(pending: Map<K, unknown>): void {
  if (pending.size < mostPending) return;
  for (const oldest of pending.keys()) {
    pending.delete(oldest);
    return;
  }
}
