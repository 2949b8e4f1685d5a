/** Certificates: listed, shown, revoked, put on hold and reinstated one by one. Never deleted. */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { CertificateState } from '#common/contract/directory.ts';
import type { Receipt } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Fingerprint } from '#common/identity.ts';
import { certificatePem } from '#common/x509/pem.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import type { RevocationReason } from './revocation-reason.ts';

export interface CertificateView {
  readonly issuer: string;
  readonly serialNumber: string;
  /** Null while it is reserved, and for good when it was abandoned. */
  readonly fingerprint: string | null;
  readonly device: string;
  readonly fleet: string;
  readonly state: CertificateState;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly renewAfter: string | null;
  readonly revokedAt: string | null;
  readonly reason: string | null;
}

export interface CertificateQuery {
  device?: string;
  fleet?: string;
  state?: CertificateState;
  limit: number;
  cursor?: string;
}

export const viewOfCertificate = (row: Tables['certificates']): CertificateView => ({
  issuer: row.issuer,
  serialNumber: row.serial,
  fingerprint: row.fingerprint,
  device: row.device,
  fleet: row.fleet,
  state: row.state,
  notBefore: timestamp(row.not_before_ms),
  notAfter: timestamp(row.not_after_ms),
  renewAfter: row.renew_after_ms === null ? null : timestamp(row.renew_after_ms),
  revokedAt: row.revoked_ms === null ? null : timestamp(row.revoked_ms),
  reason: row.reason,
});

export class Certificates {
  readonly #parts: {
    read: Kysely<Tables>;
    writer: Writer;
    audit: Audit;
    feed: Feed;
    gateways: Gateways;
    clock: Clock;
  };

  constructor(parts: {
    read: Kysely<Tables>;
    writer: Writer;
    audit: Audit;
    feed: Feed;
    gateways: Gateways;
    clock: Clock;
  }) {
    this.#parts = parts;
  }

  /** In the order of their serial numbers. */
  async list(query: CertificateQuery): Promise<{ items: CertificateView[]; nextCursor: string | null }> {
    const { device, fleet, state, limit, cursor } = query;
    let select = this.#parts.read
      .selectFrom('certificates')
      .selectAll()
      .orderBy('serial')
      .limit(limit + 1);
    if (device) select = select.where('device', '=', device);
    if (fleet) select = select.where('fleet', '=', fleet);
    if (state) select = select.where('state', '=', state);
    if (cursor) select = select.where('serial', '>', cursor);
    const rows = await select.execute();
    const items = rows.slice(0, limit).map(viewOfCertificate);
    return { items, nextCursor: rows.length > limit ? (items.at(-1)?.serialNumber ?? null) : null };
  }

  /** With the certificate in PEM. Faults `not-found`. */
  async show(fingerprint: Fingerprint): Promise<CertificateView & { certificate: string | null }> {
    const row = await this.#parts.read
      .selectFrom('certificates')
      .selectAll()
      .where('fingerprint', '=', fingerprint)
      .executeTakeFirst();
    if (!row) throw unknown(fingerprint);
    return { ...viewOfCertificate(row), certificate: row.der && certificatePem(row.der) };
  }

  /**
   * For this certificate only: for good, or on hold until it is reinstated or revoked. Revoking twice is answered like
   * once. Faults `not-found`, and `conflict` for a hold on one that was revoked.
   */
  async revoke(fingerprint: Fingerprint, reason: RevocationReason, actor: string): Promise<Receipt> {
    const { clock } = this.#parts;
    const hold = reason === 'certificateHold';
    return this.#alter(
      fingerprint,
      hold ? 'certificate-held' : 'certificate-revoked',
      actor,
      reason,
      (row) => {
        if (hold && row.state === 'revoked')
          throw new Fault('conflict', 'This certificate was revoked for good; it cannot be put on hold.');
        const done = row.state === 'revoked' || (hold && row.state === 'held');
        if (done) return { state: row.state, revoked_ms: row.revoked_ms, reason: row.reason };
        return { state: hold ? 'held' : 'revoked', revoked_ms: clock.now(), reason };
      },
    );
  }

  /** Ends a hold. Faults `not-found`, and `conflict` for a certificate that is not on hold. */
  async reinstate(fingerprint: Fingerprint, actor: string): Promise<Receipt> {
    return this.#alter(fingerprint, 'certificate-reinstated', actor, undefined, ({ state }) => {
      if (state === 'held') return { state: 'issued', revoked_ms: null, reason: null };
      const why = state === 'revoked' ? 'it was revoked, which is for good' : `it is ${state}`;
      throw new Fault('conflict', `Only a certificate on hold can be reinstated; ${why}.`);
    });
  }

  async #alter(
    fingerprint: Fingerprint,
    kind: 'certificate-revoked' | 'certificate-held' | 'certificate-reinstated',
    actor: string,
    reason: RevocationReason | undefined,
    judge: (row: Tables['certificates']) => Standing,
  ): Promise<Receipt> {
    const { writer, audit, feed, gateways } = this.#parts;
    const change = await writer.write(async (write) => {
      const row = await write
        .selectFrom('certificates')
        .selectAll()
        .where('fingerprint', '=', fingerprint)
        .executeTakeFirst();
      if (!row) throw unknown(fingerprint);
      const after = judge(row);
      await write.updateTable('certificates').set(after).where('fingerprint', '=', fingerprint).execute();
      const { device, fleet } = row;
      const detail = { device, before: standingOf(row), after: standingOf(after) };
      await audit.append(write, { actor, action: deeds[kind], target: fingerprint, detail });
      // One that speaks for no device is an operator's.
      const whose = device === '' ? {} : { fleet, device };
      return feed.append(write, { kind, ...whose, fingerprint, reason });
    });
    return gateways.announce(change);
  }

  /** How many there are in each state. */
  async counts(): Promise<Record<CertificateState, number>> {
    const rows = await this.#parts.read
      .selectFrom('certificates')
      .select(({ fn }) => ['state', fn.countAll<number>().as('count')])
      .groupBy('state')
      .execute();
    const counts = { reserved: 0, issued: 0, held: 0, revoked: 0 };
    for (const { state, count } of rows) counts[state] = count;
    return counts;
  }
}

type Standing = Pick<Tables['certificates'], 'state' | 'revoked_ms' | 'reason'>;

/** As the audit tells of it. */
export const standingOf = ({ state, reason }: Pick<Standing, 'state' | 'reason'>) => ({ state, reason });

const deeds = {
  'certificate-revoked': 'certificate.revoke',
  'certificate-held': 'certificate.hold',
  'certificate-reinstated': 'certificate.reinstate',
};

const unknown = (fingerprint: string) =>
  new Fault('not-found', `There is no certificate with the fingerprint ${fingerprint}.`);
