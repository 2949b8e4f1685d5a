/** Certificates: listed, shown, revoked one by one. Never deleted. */
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

  /** For good, and for this certificate only. Revoking twice is answered like once. Faults `not-found`. */
  async revoke(fingerprint: Fingerprint, reason: RevocationReason, actor: string): Promise<Receipt> {
    const { writer, audit, feed, gateways, clock } = this.#parts;
    const change = await writer.write(async (write) => {
      const row = await write
        .selectFrom('certificates')
        .selectAll()
        .where('fingerprint', '=', fingerprint)
        .executeTakeFirst();
      if (!row) throw unknown(fingerprint);
      if (row.state !== 'revoked') {
        const values = { state: 'revoked' as const, revoked_ms: clock.now(), reason };
        await write.updateTable('certificates').set(values).where('fingerprint', '=', fingerprint).execute();
      }
      const detail = { reason, device: row.device, before: row.state };
      await audit.append(write, { actor, action: 'certificate.revoke', target: fingerprint, detail });
      const { fleet, device } = row;
      return feed.append(write, { kind: 'certificate-revoked', fleet, device, fingerprint, reason });
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

const unknown = (fingerprint: string) =>
  new Fault('not-found', `There is no certificate with the fingerprint ${fingerprint}.`);
