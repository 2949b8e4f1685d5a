/**
 * The audit: who did what to what, each row chained to the one before by its hash, so that a change of any past row is
 * found and located. Written in the transaction of what it tells of.
 */
import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { Tables } from '../store/tables.ts';
import type { Write } from '../store/writer.ts';

export interface Deed {
  /** `api:<name>`, `token:<id>`, `gateway:<name>` or `system`. */
  readonly actor: string;
  /** A verb and a noun: `certificate.revoke`. */
  readonly action: string;
  readonly target: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface AuditEntry extends Deed {
  readonly id: number;
  /** RFC 3339. */
  readonly time: string;
  readonly previous: string;
  /** SHA-256 over previous hash, time, actor, action, target and detail, as a JSON array; hex. */
  readonly hash: string;
}

export interface AuditVerdict {
  readonly intact: boolean;
  readonly entries: number;
  /** The first row that does not follow from the one before. */
  readonly brokenAt: number | null;
}

/** The `previous` of the first row. */
const genesis = '0'.repeat(64);
const page = 1000;

type Row = { id: number; time_ms: number; actor: string; action: string; target: string; detail: string };

const hashOf = (previous: string, row: Omit<Row, 'id'>): string =>
  hash(
    'sha256',
    JSON.stringify([previous, row.time_ms, row.actor, row.action, row.target, row.detail]),
    'hex',
  );

export class Audit {
  readonly #read: Kysely<Tables>;
  readonly #clock: Clock;

  constructor(read: Kysely<Tables>, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
  }

  async append(write: Write, deed: Deed): Promise<void> {
    const last = await write
      .selectFrom('audit')
      .select('hash')
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst();
    const previous = last?.hash ?? genesis;
    const { actor, action, target } = deed;
    const row = { time_ms: this.#clock.now(), actor, action, target, detail: JSON.stringify(deed.detail) };
    await write
      .insertInto('audit')
      .values({ ...row, previous, hash: hashOf(previous, row) })
      .execute();
  }

  /** Rows after `since`, oldest first, at most `limit`. */
  async list(since: number, limit: number): Promise<AuditEntry[]> {
    const rows = await this.#read
      .selectFrom('audit')
      .selectAll()
      .where('id', '>', since)
      .orderBy('id')
      .limit(limit)
      .execute();
    return rows.map(({ time_ms, detail, ...row }) => ({
      ...row,
      time: timestamp(time_ms),
      detail: JSON.parse(detail),
    }));
  }

  /** Recomputes the whole chain, a page at a time. */
  async verify(): Promise<AuditVerdict> {
    let previous = genesis;
    let entries = 0;
    let since = 0;
    for (;;) {
      const rows = await this.#read
        .selectFrom('audit')
        .selectAll()
        .where('id', '>', since)
        .orderBy('id')
        .limit(page)
        .execute();
      for (const row of rows) {
        if (row.previous !== previous || row.hash !== hashOf(previous, row) || row.id !== since + 1) {
          return { intact: false, entries, brokenAt: row.id };
        }
        previous = row.hash;
        since = row.id;
        entries += 1;
      }
      if (rows.length < page) return { intact: true, entries, brokenAt: null };
    }
  }
}
