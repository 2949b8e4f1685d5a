/** The end of commands: those whose time is over while they waited are told of as expired, and old ones are forgotten. */
import { type Kysely, sql } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { Metrics } from '#common/metrics.ts';
import type { CommandRow, Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { CommandOutcomes } from './command-outcomes.ts';
import { alter } from './command-state.ts';

export interface CommandExpiryParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  outcomes: CommandOutcomes;
  metrics: Metrics;
  clock: Clock;
  /** How long a command is kept after its time to live. */
  retentionMs: number;
}

/** Commands of one transaction. */
const lot = 100;

export class CommandExpiry {
  readonly #parts: CommandExpiryParts;

  constructor(parts: CommandExpiryParts) {
    this.#parts = parts;
  }

  /** Ends those that have run out, lot by lot; how many. */
  async sweep(): Promise<number> {
    const { read, writer, outcomes, metrics, clock } = this.#parts;
    for (let count = 0; ; ) {
      const due = await read
        .selectFrom('commands')
        .select('id')
        .where('state', '=', 'queued')
        .where('expires_ms', '<=', clock.now())
        .orderBy('expires_ms')
        .limit(lot)
        .execute();
      if (due.length === 0) return count;
      const expired = await writer.write((write) =>
        this.#expire(
          write,
          due.map(({ id }) => id),
        ),
      );
      metrics.commandsPending.dec(expired.length);
      outcomes.tell(expired);
      count += due.length;
    }
  }

  async #expire(write: Write, ids: readonly string[]): Promise<CommandRow[]> {
    const { audit, clock } = this.#parts;
    const rows: CommandRow[] = [];
    for (const id of ids) {
      const row = await write
        .selectFrom('commands')
        .select(['state', 'device', 'attempts'])
        .where('id', '=', id)
        .executeTakeFirst();
      // Delivered, answered or withdrawn meanwhile.
      if (row?.state !== 'queued') continue;
      rows.push(await alter(write, id, { state: 'expired', ended_ms: clock.now() }));
      const { device, attempts } = row;
      const detail = { device, attempts, before: { state: row.state }, after: { state: 'expired' } };
      await audit.append(write, { actor: 'system', action: 'command.expire', target: id, detail });
    }
    return rows;
  }

  /** Forgets what ended long ago; how many. The newest change stays, since the revisions go on from it. */
  async purge(): Promise<number> {
    const { writer, clock, retentionMs } = this.#parts;
    for (let count = 0; ; ) {
      const { numAffectedRows = 0n } = await writer.write((write) =>
        sql`
          DELETE FROM commands WHERE number IN (
            SELECT number FROM commands WHERE expires_ms < ${clock.now() - retentionMs} AND state != 'queued'
              AND revision < (SELECT max(revision) FROM commands) LIMIT ${lot}
          )`.execute(write),
      );
      count += Number(numAffectedRows);
      if (numAffectedRows < lot) return count;
    }
  }
}
