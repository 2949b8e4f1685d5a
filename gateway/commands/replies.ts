/** Answers of devices on their way to the registry: so many at once over all sessions and requests, each told when it is recorded. */
import type { CommandReply } from '#common/contract/command.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';

export interface RepliesParts {
  ask: AskRegistry;
  most: number;
}

const busyRetryMs = 1_000;

export class Replies {
  readonly #parts: RepliesParts;
  #underWay = 0;

  constructor(parts: RepliesParts) {
    this.#parts = parts;
  }

  /** Resolves when it is on disk. Faults as the registry does; `unavailable` when it is away, or as many as may are under way. */
  async send(reply: CommandReply): Promise<void> {
    const { ask, most } = this.#parts;
    if (this.#underWay >= most)
      throw new Fault('unavailable', `As many replies as may, ${most}, are under way; send it again.`, {
        retryAfterMs: busyRetryMs,
      });
    this.#underWay += 1;
    try {
      await ask('command-reply', reply);
    } finally {
      this.#underWay -= 1;
    }
  }
}

/** A refusal that may be none the next time: the reply is kept by its device and sent again. */
export const mayRetry = ({ kind }: Fault): boolean =>
  kind === 'unavailable' || kind === 'internal' || kind === 'timeout' || kind === 'rate-limited';
