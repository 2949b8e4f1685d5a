/** The change feed: appended in the transaction of the change itself, then told to whoever follows. */
import { type Kysely, sql } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { Change, ChangeKind } from '#common/contract/change.ts';
import type { DirectoryEntry, FleetTerms, IssuerEntry, RoleDocument } from '#common/contract/directory.ts';
import { type EntryRow, entryOf } from '#common/contract/directory-row.ts';
import type { DeviceId, FleetId } from '#common/identity.ts';
import { entrySelect } from '../store/directory.ts';
import type { Tables } from '../store/tables.ts';
import type { Write } from '../store/writer.ts';

export interface ChangeDraft {
  readonly kind: ChangeKind;
  readonly fleet?: string;
  readonly device?: string;
  readonly role?: RoleDocument;
  readonly terms?: FleetTerms;
  readonly issuer?: IssuerEntry;
  readonly reason?: string;
  /** Which entries the change carries: one certificate, several, or all of the device. */
  readonly fingerprint?: string;
  readonly fingerprints?: readonly string[];
}

export class Feed {
  readonly #read: Kysely<Tables>;
  readonly #clock: Clock;
  readonly #followers = new Set<(change: Change) => void>();

  constructor(read: Kysely<Tables>, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
  }

  /** Writes the change with the entries as they are at this point of the transaction. */
  async append(write: Write, draft: ChangeDraft): Promise<Change> {
    const timeMs = this.#clock.now();
    const body: Omit<Change, 'id'> = {
      time: timestamp(timeMs),
      kind: draft.kind,
      fleet: (draft.fleet as FleetId | undefined) ?? null,
      device: (draft.device as DeviceId | undefined) ?? null,
      entries: await entriesOf(write, draft),
      role: draft.role ?? null,
      terms: draft.terms ?? null,
      issuer: draft.issuer ?? null,
      reason: draft.reason ?? null,
    };
    const { id } = await write
      .insertInto('changes')
      .values({ time_ms: timeMs, body: JSON.stringify(body) })
      .returning('id')
      .executeTakeFirstOrThrow();
    return { id, ...body };
  }

  /** To be called after the commit. */
  announce(change: Change): void {
    for (const wake of this.#followers) wake(change);
  }

  /** Calls back after every commit that changed something. Returns how to stop. */
  follow(wake: (change: Change) => void): () => void {
    this.#followers.add(wake);
    return () => this.#followers.delete(wake);
  }

  /**
   * Changes after `since`, oldest first, at most `limit`, and no more than make a page of bytes: one at least. None
   * means that there are none.
   */
  async since(since: number, limit: number): Promise<Change[]> {
    const sizes = await this.#read
      .selectFrom('changes')
      .select('id')
      // Read from the head of the row: the body itself is not touched.
      .select(sql<number>`octet_length(body)`.as('bytes'))
      .where('id', '>', since)
      .orderBy('id')
      .limit(limit)
      .execute();
    let bytes = 0;
    const beyond = sizes.findIndex((row, index) => {
      bytes += row.bytes;
      return index > 0 && bytes > pageBytes;
    });
    const last = sizes.at(beyond < 0 ? -1 : beyond - 1)?.id;
    if (last === undefined) return [];
    const rows = await this.#read
      .selectFrom('changes')
      .selectAll()
      .where('id', '>', since)
      .where('id', '<=', last)
      .orderBy('id')
      .execute();
    return rows.map(({ id, body }) => ({ id, ...JSON.parse(body) }));
  }

  async head(): Promise<number> {
    const row = await this.#read
      .selectFrom('changes')
      .select(({ fn }) => fn.max('id').as('head'))
      .executeTakeFirst();
    return row?.head ?? 0;
  }
}

/** A gateway that catches up with a revocation of thousands does not hold up the others. */
const pageBytes = 1024 * 1024;

async function entriesOf(write: Write, draft: ChangeDraft): Promise<DirectoryEntry[]> {
  const { fingerprint, fingerprints = fingerprint === undefined ? undefined : [fingerprint], device } = draft;
  if (fingerprints === undefined && device === undefined) return [];
  const which = fingerprints
    ? sql`c.fingerprint IN (SELECT value FROM json_each(${JSON.stringify(fingerprints)}))`
    : sql`c.device = ${device}`;
  const { rows } =
    await sql<EntryRow>`${sql.raw(entrySelect)} WHERE ${which} AND c.fingerprint IS NOT NULL`.execute(write);
  return rows.map(entryOf);
}
