/**
 * The audit: who did what to what, each row chained to the one before by its hash, so that a change of any past row is
 * found and located. Written in the transaction of what it tells of.
 */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import {
  AuditChain,
  type AuditFinding,
  type AuditHead,
  auditGenesis,
  auditHash,
} from '#common/contract/audit-chain.ts';
import type { Tables } from '../store/tables.ts';
import type { Write } from '../store/writer.ts';

export interface Deed {
  /** `api:<name>`, `operator:<name>`, `token:<id>`, `gateway:<name>` or `system`. */
  readonly actor: string;
  /** A verb and a noun: `certificate.revoke`. */
  readonly action: string;
  readonly target: string;
  /** What was written, as it was `before` and as it is `after`: null for what was not there, or is no more. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface AuditEntry extends Deed {
  readonly id: number;
  /** RFC 3339. */
  readonly time: string;
  readonly previous: string;
  /** As common/contract/audit-chain.ts says. */
  readonly hash: string;
}

export interface AuditVerdict {
  readonly intact: boolean;
  /** Those that follow from the ones before. */
  readonly entries: number;
  /** The first row that is not as it was written. */
  readonly brokenAt: number | null;
  readonly finding: AuditFinding | null;
  readonly head: AuditHead;
}

const page = 1000;

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
    const previous = last?.hash ?? auditGenesis;
    const { actor, action, target } = deed;
    const row = { time_ms: this.#clock.now(), actor, action, target, detail: JSON.stringify(deed.detail) };
    await write
      .insertInto('audit')
      .values({ ...row, previous, hash: auditHash(previous, row) })
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
      detail: parsed(detail),
    }));
  }

  /** The last row: to be noted elsewhere, since a chain alone does not show that its end was cut off. */
  async head(): Promise<AuditHead & { readonly time: string | null }> {
    const row = await this.#read
      .selectFrom('audit')
      .select(['id', 'hash', 'time_ms'])
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row
      ? { count: row.id, hash: row.hash, time: timestamp(row.time_ms) }
      : { count: 0, hash: auditGenesis, time: null };
  }

  /** Recomputes the whole chain, a page at a time. */
  async verify(): Promise<AuditVerdict> {
    const chain = new AuditChain();
    let since = 0;
    for (let more = true; more; ) {
      const rows = await this.#read
        .selectFrom('audit')
        .selectAll()
        .where('id', '>', since)
        .orderBy('id')
        .limit(page)
        .execute();
      more = rows.every((row) => chain.take(row)) && rows.length === page;
      since = rows.at(-1)?.id ?? since;
      // The queries end in this turn of the loop: others get theirs between two pages.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const finding = chain.end();
    const { head } = chain;
    return { intact: finding === null, entries: head.count, brokenAt: finding?.at ?? null, finding, head };
  }
}

/** What somebody has made unreadable is shown as it is; `verify` names it. */
function parsed(detail: string): Record<string, unknown> {
  try {
    return JSON.parse(detail);
  } catch {
    return { unreadable: detail };
  }
}
