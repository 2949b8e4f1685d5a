/**
 * Asks again about recorded certificates whose state was asked for by itself, before it ends: of those seen lately in the
 * background, of others when they come. What their responder says becomes an ordinary change.
 */
import type { Kysely } from 'kysely';
import type { Cancel, Clock } from '#common/clock.ts';
import type { Fingerprint } from '#common/identity.ts';
import type { Logger } from '#common/log.ts';
import { readCertificate } from '#common/x509/certificate.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Anchor, AnchorRegister } from './anchor-register.ts';
import type { Feed } from './feed.ts';
import { stepsOfPlan } from './foreign-path.ts';
import type { ForeignRevocation } from './foreign-revocation.ts';
import { type ForeignState, type ForeignStatus, judgeState } from './foreign-status.ts';
import type { Gateways } from './gateways.ts';

export interface OcspRefreshParts {
  read: Kysely<Tables>;
  writer: Writer;
  feed: Feed;
  gateways: Gateways;
  register: AnchorRegister;
  status: ForeignStatus;
  revocation: ForeignRevocation;
  clock: Clock;
  log: Logger;
}

/** How often it is looked who is due, and how long before the end one is. */
const periodMs = 5_000;
const aheadMs = 10 * 60_000;
/** Asked about in one round, and at once. */
const round = 500;
const atOnce = 20;
/** Who has not been seen for so long is asked about when it comes. */
const latelyMs = 7 * 86_400_000;
/** One that was asked about in vain is left alone for so long, growing with the time that is left. */
const leastPauseMs = 5_000;

type Row = Pick<
  Tables['certificates'],
  'issuer' | 'fingerprint' | 'der' | 'plan' | 'device' | 'fleet' | 'status_until_ms'
>;
const columns = ['issuer', 'fingerprint', 'der', 'plan', 'device', 'fleet', 'status_until_ms'] as const;

export class OcspRefresh implements AsyncDisposable {
  readonly #parts: OcspRefreshParts;
  readonly #cancel: Cancel;
  /** By anchor, then by fingerprint: when those who are due were last asked about. */
  readonly #asked = new Map<string, ReadonlyMap<string, number>>();
  #round: Promise<void> | undefined;

  constructor(parts: OcspRefreshParts) {
    this.#parts = parts;
    this.#cancel = parts.clock.every(
      periodMs,
      () => {
        this.#round ??= this.#refreshDue()
          .catch((error) => parts.log.error({ error }, 'Foreign certificates could not be asked about.'))
          .finally(() => {
            this.#round = undefined;
          });
      },
      0.2,
    );
  }

  /** Asks about one now. Faults `certificate-revoked`, `certificate-held`, `revocation-unknown`. */
  async now(fingerprint: Fingerprint): Promise<void> {
    const row = await this.#parts.read
      .selectFrom('certificates')
      .select(columns)
      .where('fingerprint', '=', fingerprint)
      .executeTakeFirst();
    const found = row && (await this.#refresh(row, this.#parts.clock.now()));
    if (found) judgeState(found);
  }

  async #refreshDue(): Promise<void> {
    for (const anchor of this.#parts.register.all) {
      if (anchor.terms.revocation.ocsp === null) continue;
      const due = await this.#due(anchor);
      for (let at = 0; at < due.length; at += atOnce)
        await Promise.all(due.slice(at, at + atOnce).map((row) => this.#refresh(row, null)));
    }
  }

  async #due({ id, maxStaleMs, terms }: Anchor): Promise<Row[]> {
    const { read, clock } = this.#parts;
    const nowMs = clock.now();
    const staleMs = terms.revocation.policy === 'last-good' ? maxStaleMs : 0;
    const rows = await read
      .selectFrom('certificates')
      .select(columns)
      .where('issuer', '=', id)
      .where('status_until_ms', '<', nowMs + staleMs + aheadMs)
      .where('state', '=', 'issued')
      .where('seen_ms', '>', nowMs - latelyMs)
      .where('not_after_ms', '>', nowMs)
      .orderBy('status_until_ms')
      .limit(round)
      .execute();
    const asked = this.#asked.get(id);
    const due = rows.filter(({ fingerprint, status_until_ms }) => {
      const leftMs = status_until_ms! - staleMs - nowMs;
      return (asked?.get(fingerprint!) ?? 0) + Math.max(leastPauseMs, leftMs / 2) <= nowMs;
    });
    const now = new Set(due);
    const times = rows.map(
      (row) => [row.fingerprint!, now.has(row) ? nowMs : (asked?.get(row.fingerprint!) ?? 0)] as const,
    );
    this.#asked.set(id, new Map(times));
    return due;
  }

  async #refresh(
    { issuer, fingerprint, der, plan, device, fleet, status_until_ms }: Row,
    seenMs: number | null,
  ): Promise<ForeignState | null> {
    const { register, status, revocation, writer, feed, gateways } = this.#parts;
    const anchor = register.find(issuer);
    if (!anchor || !der || fingerprint === null) return null;
    const found = await status.of(anchor, readCertificate(der), stepsOfPlan(plan));
    if (found.state === 'listed') await revocation.list(issuer, fingerprint, found.reason);
    if (found.state !== 'good' || found.statusUntilMs === status_until_ms) return found;
    const change = await writer.write(async (write) => {
      await write
        .updateTable('certificates')
        .set({ status_until_ms: found.statusUntilMs, ...(seenMs !== null && { seen_ms: seenMs }) })
        .where('fingerprint', '=', fingerprint)
        .execute();
      return feed.append(write, { kind: 'certificate-status', fleet, device, fingerprint });
    });
    gateways.announceLater(change);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    await this.#round;
  }
}
