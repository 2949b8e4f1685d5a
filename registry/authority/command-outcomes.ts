/**
 * What becomes of commands, told: to the calls that wait, to those who follow the outcomes, to the metrics. Followers read
 * from the store by revision, so that nobody misses anything by being away.
 */
import type { Kysely } from 'kysely';
import type { CommandState } from '#common/contract/command.ts';
import type { Metrics } from '#common/metrics.ts';
import type { CommandRow, Tables } from '../store/tables.ts';
import { type CommandOutcome, outcomeOf } from './command-view.ts';
import type { CommandWaits } from './command-waits.ts';

export interface CommandOutcomesParts {
  read: Kysely<Tables>;
  waits: CommandWaits;
  metrics: Metrics;
}

export class CommandOutcomes {
  readonly #parts: CommandOutcomesParts;
  readonly #followers = new Set<() => void>();

  constructor(parts: CommandOutcomesParts) {
    this.#parts = parts;
  }

  /** After the commit: these are in a state in which they were not before. */
  tell(rows: readonly CommandRow[]): void {
    const { waits, metrics } = this.#parts;
    for (const row of rows) {
      metrics.commandsTotal.inc({ result: row.state });
      if (row.state === 'delivered')
        metrics.commandSeconds.observe(Math.max(0, row.delivered_ms! - row.created_ms) / 1000);
      else waits.settle(row);
    }
    if (rows.length > 0) for (const wake of this.#followers) wake();
  }

  /** Calls back whenever there is something new. Returns how to stop. */
  follow(wake: () => void): () => void {
    this.#followers.add(wake);
    return () => this.#followers.delete(wake);
  }

  /** Each command once, as it is now, whose last change came after `since`; those still queued are left out. */
  async since(since: number, limit: number): Promise<CommandOutcome[]> {
    const queued: CommandState = 'queued';
    const rows = await this.#parts.read
      .selectFrom('commands')
      .selectAll()
      .where('revision', '>', since)
      .where('state', '!=', queued)
      .orderBy('revision')
      .limit(limit)
      .execute();
    return rows.map(outcomeOf);
  }

  /** How many wait for their devices. */
  async report(): Promise<void> {
    const row = await this.#parts.read
      .selectFrom('commands')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('state', '=', 'queued')
      .executeTakeFirst();
    this.#parts.metrics.commandsPending.set(row?.count ?? 0);
  }
}
