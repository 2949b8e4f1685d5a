/**
 * What the gateways have seen at their doors: when a certificate was first and last used, and which issuer a device used
 * last. The first use of a renewed certificate sets the day on which what it has replaced retires.
 */
import { sql } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { Sighting } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import type { Write, Writer } from '../store/writer.ts';
import { pastOf, readLineage } from './lineage.ts';
import type { Profiles } from './profiles.ts';

/** Sightings of one report, and of one transaction. */
export const mostSightings = 1000;

export class Sightings {
  readonly #parts: { writer: Writer; profiles: Profiles; clock: Clock };

  constructor(parts: { writer: Writer; profiles: Profiles; clock: Clock }) {
    this.#parts = parts;
  }

  /** A report of a gateway, in one transaction; certificates that are not known are passed over. Faults `malformed`. */
  async report(sightings: readonly Sighting[]): Promise<null> {
    if (!isReport(sightings))
      throw new Fault('malformed', `A report has at most ${mostSightings} sightings: fingerprint and atMs.`);
    if (sightings.length > 0) await this.#parts.writer.write((write) => this.record(write, sightings));
    return null;
  }

  /** The same in a transaction of somebody else. A time that is ahead of ours is ours. */
  async record(write: Write, sightings: readonly Sighting[]): Promise<void> {
    const nowMs = this.#parts.clock.now();
    const seen = JSON.stringify(
      sightings.map(({ fingerprint, atMs }) => [fingerprint, Math.min(atMs, nowMs)]),
    );
    const which = sql`SELECT value ->> 0 AS fingerprint, max(value ->> 1) AS at FROM json_each(${seen}) GROUP BY 1`;
    const { rows: fresh } = await sql<{ fingerprint: string; device: string; profile: string; at: number }>`
      SELECT c.fingerprint, c.device, c.profile, s.at FROM (${which}) s JOIN certificates c USING (fingerprint)
      WHERE c.used_ms IS NULL AND c.replaces IS NOT NULL`.execute(write);
    // One that is used for the first time after it was given up is not past after all: the device has kept it.
    await sql`
      UPDATE certificates SET seen_ms = max(s.at, coalesce(seen_ms, 0)), used_ms = coalesce(used_ms, s.at),
        retire_ms = CASE WHEN used_ms IS NULL THEN NULL ELSE retire_ms END
      FROM (${which}) s WHERE certificates.fingerprint = s.fingerprint`.execute(write);
    // Beside max(), SQLite takes the other columns from the row that has it.
    await sql`
      UPDATE devices SET last_issuer = s.issuer, last_seen_ms = s.at
      FROM (SELECT c.device, c.issuer, max(w.at) AS at FROM (${which}) w JOIN certificates c USING (fingerprint)
            GROUP BY c.device) s
      WHERE devices.id = s.device AND s.at > coalesce(devices.last_seen_ms, 0)`.execute(write);
    for (const each of fresh) await this.#retireOthers(write, each);
  }

  async #retireOthers(
    write: Write,
    used: { fingerprint: string; device: string; profile: string; at: number },
  ): Promise<void> {
    const past = pastOf(await readLineage(write, used), used.fingerprint);
    if (past.length === 0) return;
    const { retireAfterMs } = await this.#parts.profiles.find(used.profile);
    await write
      .updateTable('certificates')
      .set({ retire_ms: used.at + retireAfterMs })
      .where(
        'fingerprint',
        'in',
        past.map(({ fingerprint }) => fingerprint),
      )
      .execute();
  }
}

const isReport = (sightings: unknown): sightings is Sighting[] =>
  Array.isArray(sightings) &&
  sightings.length <= mostSightings &&
  sightings.every(
    (each) => typeof each?.fingerprint === 'string' && Number.isSafeInteger((each as Sighting).atMs),
  );
