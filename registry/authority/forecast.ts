/** The forecast of a fleet's renewals, day by day, and what is late already. Counted in slices, so that the loop has turns. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { FleetId } from '#common/identity.ts';
import type { Tables } from '../store/tables.ts';
import { notReplaced } from './replaced.ts';

export interface RenewalForecast {
  readonly fleet: string;
  /** Certificates that become due in the day (UTC) that begins at `from`; of today, those still to come. */
  readonly buckets: readonly { readonly from: string; readonly renewals: number }[];
  /** Those that become due after the last bucket. */
  readonly later: number;
  /** Due, valid, and not renewed yet. */
  readonly overdue: number;
  /** Expired and not renewed. */
  readonly expired: number;
}

const dayMs = 86_400_000;

export class Forecast {
  readonly #parts: { read: Kysely<Tables>; clock: Clock };

  constructor(parts: { read: Kysely<Tables>; clock: Clock }) {
    this.#parts = parts;
  }

  /** `days` buckets from today on. Faults `not-found`. */
  async of(fleet: FleetId, days: number): Promise<RenewalForecast> {
    const { read, clock } = this.#parts;
    if (!(await read.selectFrom('fleets').select('id').where('id', '=', fleet).executeTakeFirst()))
      throw new Fault('not-found', `There is no fleet ${fleet}.`);
    const nowMs = clock.now();
    const todayMs = Math.floor(nowMs / dayMs) * dayMs;
    const buckets: { from: string; renewals: number }[] = [];
    for (let day = 0; day < days; day++) {
      const fromMs = todayMs + day * dayMs;
      const due = sql<boolean>`c.renew_after_ms >= ${Math.max(fromMs, nowMs)} AND c.renew_after_ms < ${fromMs + dayMs}`;
      buckets.push({ from: timestamp(fromMs), renewals: await this.#count(fleet, due) });
    }
    const endMs = todayMs + days * dayMs;
    return {
      fleet,
      buckets,
      later: await this.#count(fleet, sql<boolean>`c.renew_after_ms >= ${endMs}`),
      overdue: await this.#count(
        fleet,
        sql<boolean>`c.renew_after_ms < ${nowMs} AND c.not_after_ms >= ${nowMs}`,
      ),
      expired: await this.#count(fleet, sql<boolean>`c.not_after_ms < ${nowMs}`),
    };
  }

  async #count(fleet: FleetId, which: RawBuilder<boolean>): Promise<number> {
    const { rows } = await sql<{ count: number }>`
      SELECT count(*) AS count FROM certificates c
      WHERE c.state = 'issued' AND ${which} AND c.fleet = ${fleet} AND ${notReplaced}`.execute(
      this.#parts.read,
    );
    await new Promise<void>((resolve) => setImmediate(resolve));
    return rows[0]?.count ?? 0;
  }
}
