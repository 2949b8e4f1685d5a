/**
 * Certificates that run out: counted ahead of time, and told once each when it happened and nothing had replaced them.
 * Nothing is revoked here: an expired certificate is judged by its dates.
 */
import { type Kysely, sql } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { Metrics } from '#common/metrics.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import { notReplaced } from './replaced.ts';

export interface ExpiryParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  metrics: Metrics;
  clock: Clock;
}

interface Expired {
  readonly fingerprint: string;
  readonly device: string;
  readonly fleet: string;
  readonly not_after_ms: number;
}

/** Up to where has been told: certificates in the order of their end, then of their fingerprints. */
interface Mark {
  readonly notAfterMs: number;
  readonly fingerprint: string;
}

const action = 'certificate.expire';
const dayMs = 86_400_000;
export const horizons = { '1d': 1, '7d': 7, '30d': 30 } as const;
/** Certificates of one transaction. */
const lot = 100;

export class Expiry {
  readonly #parts: ExpiryParts;
  #mark: Mark | undefined;

  constructor(parts: ExpiryParts) {
    this.#parts = parts;
  }

  /** Brings the gauges up to date. */
  async report(): Promise<void> {
    let day = 0;
    let count = 0;
    for (const [within, days] of Object.entries(horizons)) {
      for (; day < days; day++) count += await this.#ending(day);
      this.#parts.metrics.certificatesExpiring.set({ within }, count);
    }
  }

  /** Of those that expire within so many days, the ones that should have been renewed long since: half of the time that was left for it has passed. */
  async late(days: number): Promise<number> {
    let count = 0;
    for (let day = 0; day < days; day++) count += await this.#ending(day, true);
    return count;
  }

  /** Tells of those that have expired since the last time, lot by lot; how many. */
  async sweep(): Promise<number> {
    const { writer, gateways, metrics } = this.#parts;
    this.#mark ??= await this.#lastTold();
    for (let told = 0; ; ) {
      const expired = await this.#next(this.#mark);
      const last = expired.at(-1);
      if (!last) return told;
      const changes = await writer.write((write) => this.#tell(write, expired));
      this.#mark = { notAfterMs: last.not_after_ms, fingerprint: last.fingerprint };
      for (const change of changes) gateways.announceLater(change);
      metrics.certificatesExpiredTotal.inc(changes.length);
      told += changes.length;
    }
  }

  async #tell(write: Write, expired: readonly Expired[]): Promise<Change[]> {
    const changes: Change[] = [];
    for (const { fingerprint, device, fleet, not_after_ms } of expired) {
      const detail = { device, fleet, notAfter: timestamp(not_after_ms), notAfterMs: not_after_ms };
      await this.#parts.audit.append(write, { actor: 'system', action, target: fingerprint, detail });
      changes.push(
        await this.#parts.feed.append(write, { kind: 'certificate-expired', fleet, device, fingerprint }),
      );
    }
    return changes;
  }

  async #next({ notAfterMs, fingerprint }: Mark): Promise<Expired[]> {
    const { read, clock } = this.#parts;
    const { rows } = await sql<Expired>`
      SELECT c.fingerprint, c.device, c.fleet, c.not_after_ms FROM certificates c
      WHERE c.state = 'issued' AND c.not_after_ms >= ${notAfterMs} AND c.not_after_ms < ${clock.now()}
        AND (c.not_after_ms, c.fingerprint) > (${notAfterMs}, ${fingerprint}) AND ${notReplaced}
      ORDER BY c.not_after_ms, c.fingerprint LIMIT ${lot}`.execute(read);
    return rows;
  }

  /** The audit knows what was told before this start. */
  async #lastTold(): Promise<Mark> {
    const row = await this.#parts.read
      .selectFrom('audit')
      .select(['target', 'detail'])
      .where('action', '=', action)
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row
      ? { notAfterMs: JSON.parse(row.detail).notAfterMs, fingerprint: row.target }
      : { notAfterMs: 0, fingerprint: '' };
  }

  /** How many end on that day from now; a day at a time, so that the loop has turns. */
  async #ending(day: number, late = false): Promise<number> {
    const { read, clock } = this.#parts;
    const nowMs = clock.now();
    const fromMs = nowMs + day * dayMs;
    const should = late
      ? sql`AND coalesce(${nowMs} - c.renew_after_ms > (c.not_after_ms - c.renew_after_ms) / 2, 1)`
      : sql``;
    const { rows } = await sql<{ count: number }>`
      SELECT count(*) AS count FROM certificates c
      WHERE c.state = 'issued' AND c.not_after_ms >= ${fromMs} AND c.not_after_ms < ${fromMs + dayMs}
        AND ${notReplaced} ${should}`.execute(read);
    await new Promise<void>((resolve) => setImmediate(resolve));
    return rows[0]?.count ?? 0;
  }
}
