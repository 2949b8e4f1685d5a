/**
 * Retirement: a certificate that another has replaced is revoked as superseded, some time after the device has used the
 * new one, or at once to make room for another. An ordinary revocation: live sessions of it end.
 */
import type { Kysely } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import type { RevocationReason } from './revocation-reason.ts';

export interface RetirementParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  clock: Clock;
}

const reason: RevocationReason = 'superseded';
/** Certificates of one transaction: it holds the event loop while it runs. */
const lot = 50;

export class Retirement {
  readonly #parts: RetirementParts;

  constructor(parts: RetirementParts) {
    this.#parts = parts;
  }

  /** Revokes those whose time has come, lot by lot; how many. */
  async sweep(): Promise<number> {
    const { read, writer, gateways, clock } = this.#parts;
    for (let retired = 0; ; ) {
      const due = await read
        .selectFrom('certificates')
        .select(['fingerprint', 'device', 'fleet'])
        .where('state', '=', 'issued')
        .where('retire_ms', 'is not', null)
        .where('retire_ms', '<=', clock.now())
        .orderBy('retire_ms')
        .limit(lot)
        .execute();
      if (due.length === 0) return retired;
      const changes = await writer.write(async (write) => {
        const made: Change[] = [];
        for (const { fingerprint, device, fleet } of due) {
          const change = await this.retire(write, { fingerprint: fingerprint!, device, fleet }, 'system');
          if (change) made.push(change);
        }
        return made;
      });
      for (const change of changes) gateways.announceLater(change);
      retired += changes.length;
    }
  }

  /** In a transaction of somebody else, who announces the change after it; undefined when it was revoked meanwhile. */
  async retire(
    write: Write,
    { fingerprint, device, fleet }: { fingerprint: string; device: string; fleet: string },
    actor: string,
  ): Promise<Change | undefined> {
    const { audit, feed, clock } = this.#parts;
    const { numUpdatedRows } = await write
      .updateTable('certificates')
      .set({ state: 'revoked', revoked_ms: clock.now(), reason })
      .where('fingerprint', '=', fingerprint)
      .where('state', '=', 'issued')
      .executeTakeFirstOrThrow();
    if (numUpdatedRows === 0n) return undefined;
    const detail = { device, before: { state: 'issued', reason: null }, after: { state: 'revoked', reason } };
    await audit.append(write, { actor, action: 'certificate.retire', target: fingerprint, detail });
    return feed.append(write, { kind: 'certificate-revoked', fleet, device, fingerprint, reason });
  }
}
