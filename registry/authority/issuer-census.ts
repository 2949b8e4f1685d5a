/**
 * Who still depends on which of the registry's own issuers: live certificates, and the devices that used it last. It tells
 * when a drain is over, and who would lose access by a removal.
 */
import { X509Certificate } from 'node:crypto';
import type { Kysely } from 'kysely';
import { type Clock, parseTimestamp, timestamp } from '#common/clock.ts';
import type { BulkForecast } from '#common/contract/bulk.ts';
import type { IssuerState } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import type { IssuerKeys, PendingIssuer } from '../ca/issuer-keys.ts';
import type { Tables } from '../store/tables.ts';
import type { Gateways } from './gateways.ts';
import { type Counts, countCertificates, countDevices, losersOf } from './issuer-count.ts';

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

export interface IssuerCensusParts {
  read: Kysely<Tables>;
  keys: IssuerKeys;
  gateways: Pick<Gateways, 'live'>;
  clock: Clock;
}

/** Devices that a dry run names. */
const mostNamed = 100;

interface Taken {
  readonly atMs: number;
  readonly counts: Promise<{ readonly certificates: Counts; readonly devices: Counts }>;
}

export class IssuerCensus {
  readonly #parts: IssuerCensusParts;
  #last: Taken | undefined;

  constructor(parts: IssuerCensusParts) {
    this.#parts = parts;
  }

  /** The counts are at most `maxAgeMs` old, for those who ask often. */
  async list(maxAgeMs = -1): Promise<IssuerView[]> {
    const { read, keys } = this.#parts;
    const rows = await read
      .selectFrom('issuers')
      .selectAll()
      .where('kind', '=', 'own')
      .orderBy('created_ms')
      .execute();
    const { certificates, devices } = await this.#counts(maxAgeMs);
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
  async live(id: string): Promise<number> {
    const { read, clock } = this.#parts;
    return (await countCertificates(read, clock.now())).get(id) ?? 0;
  }

  /**
   * Who would lose access by its removal; `certificates` counts the live ones of whatever device, `sessions` the live
   * connections by them. Faults `not-found`.
   */
  async toll(id: string): Promise<BulkForecast> {
    const { read, gateways, clock } = this.#parts;
    const { certificates } = await this.show(id);
    const first: string[] = [];
    let devices = 0;
    for await (const device of losersOf(read, id, clock.now())) {
      if (devices < mostNamed) first.push(device);
      devices += 1;
    }
    const { count: sessions, complete } = await gateways.live({ issuer: id });
    return { dryRun: true, devices, certificates, sessions, first, complete };
  }

  #counts(maxAgeMs: number): Taken['counts'] {
    const { read, clock } = this.#parts;
    const atMs = clock.now();
    if (this.#last && Math.abs(atMs - this.#last.atMs) <= maxAgeMs) return this.#last.counts;
    const count = async () => ({
      certificates: await countCertificates(read, atMs),
      devices: await countDevices(read),
    });
    const taken = { atMs, counts: count() };
    this.#last = taken;
    taken.counts.catch(() => {
      if (this.#last === taken) this.#last = undefined;
    });
    return taken.counts;
  }
}

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
