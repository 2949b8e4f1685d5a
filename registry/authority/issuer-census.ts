/**
 * Who still depends on which of the registry's own issuers: live certificates, and the devices that used it last. It tells
 * when a drain is over, and who would lose access by a removal.
 */
import { X509Certificate } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import { type Clock, parseTimestamp, timestamp } from '#common/clock.ts';
import type { IssuerState } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import type { IssuerKeys, PendingIssuer } from '../ca/issuer-keys.ts';
import type { Tables } from '../store/tables.ts';
import type { Gateways } from './gateways.ts';

export interface IssuerView {
  readonly id: string;
  readonly name: string;
  /** `pending`: its certificate is to be signed elsewhere. */
  readonly state: IssuerState | 'pending';
  readonly subject: string | null;
  readonly notAfter: string | null;
  /** Of it that are good, be it for renewal alone. */
  readonly certificates: number;
  /** That used it last; of those that were never seen, whose newest certificate is of it. */
  readonly devices: number;
  readonly createdAt: string;
  /** PEM. */
  readonly certificate: string | null;
  readonly csr: string | null;
}

/** Who would lose access by its removal. */
export interface IssuerToll {
  readonly dryRun: true;
  readonly devices: number;
  /** Live certificates of it, of whatever device. */
  readonly certificates: number;
  /** Live connections by them. */
  readonly sessions: number;
  readonly first: readonly string[];
}

export interface IssuerCensusParts {
  read: Kysely<Tables>;
  keys: IssuerKeys;
  gateways: Pick<Gateways, 'sessions'>;
  clock: Clock;
}

/** Devices that a dry run names. */
const mostNamed = 100;
/** Devices whose connections are asked for at once. */
const lot = 64;

interface Count {
  readonly id: string;
  readonly count: number;
}

export class IssuerCensus {
  readonly #parts: IssuerCensusParts;

  constructor(parts: IssuerCensusParts) {
    this.#parts = parts;
  }

  async list(): Promise<IssuerView[]> {
    const { read, keys } = this.#parts;
    const rows = await read
      .selectFrom('issuers')
      .selectAll()
      .where('kind', '=', 'own')
      .orderBy('created_ms')
      .execute();
    const [certificates, devices] = [await this.#certificates(read), await this.#devices()];
    const own = rows.map((row) => viewOf(row, certificates.get(row.id) ?? 0, devices.get(row.id) ?? 0));
    const known = new Set(rows.map(({ id }) => id));
    const waiting = (await keys.pending()).filter(({ id }) => !known.has(id));
    return [...own, ...waiting.map(viewOfPending)];
  }

  /** Faults `not-found`. */
  async show(id: string): Promise<IssuerView> {
    const view = (await this.list()).find((each) => each.id === id);
    if (!view) throw new Fault('not-found', `There is no issuer ${id}.`);
    return view;
  }

  /** Certificates of it that are good, those included that are being issued. */
  async live(read: Kysely<Tables>, id: string): Promise<number> {
    return (await this.#certificates(read)).get(id) ?? 0;
  }

  /** Faults `not-found`. */
  async toll(id: string): Promise<IssuerToll> {
    const { certificates } = await this.show(id);
    const losing = await this.#losing(id);
    return {
      dryRun: true,
      devices: losing.length,
      certificates,
      sessions: await this.#sessions(id),
      first: losing.slice(0, mostNamed),
    };
  }

  /** By the covering index of the doors: the rows, with their DER, are not touched. */
  async #certificates(read: Kysely<Tables>): Promise<Map<string, number>> {
    const { rows } = await sql<Count>`
      SELECT c.issuer AS id, count(*) AS count
      FROM certificates c INDEXED BY certificates_at_the_door LEFT JOIN fleets f ON f.id = c.fleet
      WHERE ${this.#isLive()} GROUP BY c.issuer`.execute(read);
    return countsOf(rows);
  }

  async #devices(): Promise<Map<string, number>> {
    const { rows } = await sql<Count>`
      SELECT coalesce(d.last_issuer, (
          SELECT c.issuer FROM certificates c WHERE c.device = d.id AND c.state IN ('issued', 'held')
          ORDER BY c.reserved_ms DESC LIMIT 1
        ), '') AS id, count(*) AS count
      FROM devices d WHERE d.state NOT IN ('deleted', 'revoked') GROUP BY 1`.execute(this.#parts.read);
    return countsOf(rows);
  }

  /**
   * Devices with a live certificate of it and no other way in: another certificate counts when it is of an issuer that is
   * trusted and, once the device was seen, when that is the one it used last. What was issued may never have arrived.
   */
  async #losing(id: string): Promise<string[]> {
    const { read, clock } = this.#parts;
    const { rows } = await sql<{ device: string }>`
      SELECT DISTINCT c.device FROM certificates c INDEXED BY certificates_at_the_door
        JOIN devices d ON d.id = c.device LEFT JOIN fleets f ON f.id = c.fleet
      WHERE c.issuer = ${id} AND ${this.#isLive()} AND d.state NOT IN ('deleted', 'revoked')
        AND NOT EXISTS (
          SELECT 1 FROM certificates o JOIN issuers i ON i.id = o.issuer
          WHERE o.device = c.device AND o.issuer != ${id} AND i.state != 'removed' AND o.state = 'issued'
            AND o.not_after_ms > ${clock.now()} AND o.issuer = coalesce(d.last_issuer, o.issuer))
      ORDER BY c.device`.execute(read);
    return rows.map(({ device }) => device);
  }

  async #sessions(id: string): Promise<number> {
    const { read, gateways } = this.#parts;
    const { rows } = await sql<{ device: string; fingerprint: string }>`
      SELECT c.device, c.fingerprint
      FROM certificates c INDEXED BY certificates_at_the_door LEFT JOIN fleets f ON f.id = c.fleet
      WHERE c.issuer = ${id} AND c.device != '' AND c.fingerprint IS NOT NULL AND ${this.#isLive()}`.execute(
      read,
    );
    const fingerprints = new Set(rows.map(({ fingerprint }) => fingerprint));
    const devices = [...new Set(rows.map(({ device }) => device))];
    let sessions = 0;
    for (let at = 0; at < devices.length; at += lot) {
      const open = await Promise.all(devices.slice(at, at + lot).map((each) => gateways.sessions(each)));
      sessions += open.flat().filter(({ fingerprint }) => fingerprints.has(fingerprint)).length;
    }
    return sessions;
  }

  /** Of a certificate `c` and its fleet `f`: within its validity, or the grace in which it may still be renewed. */
  #isLive() {
    return sql`c.state IN ('issued', 'held', 'reserved')
      AND c.not_after_ms + coalesce(f.grace_ms, 0) > ${this.#parts.clock.now()}`;
  }
}

const countsOf = (rows: readonly Count[]) => new Map(rows.map(({ id, count }) => [id, count]));

function viewOf(row: Tables['issuers'], certificates: number, devices: number): IssuerView {
  const { subject, validTo } = new X509Certificate(row.certificate);
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    subject: subject.replaceAll('\n', ', '),
    notAfter: timestamp(parseTimestamp(validTo)),
    certificates,
    devices,
    createdAt: timestamp(row.created_ms),
    certificate: row.certificate,
    csr: null,
  };
}

const viewOfPending = ({ id, name, csr, createdMs }: PendingIssuer): IssuerView => ({
  id,
  name,
  state: 'pending',
  subject: null,
  notAfter: null,
  certificates: 0,
  devices: 0,
  createdAt: timestamp(createdMs),
  certificate: null,
  csr,
});
