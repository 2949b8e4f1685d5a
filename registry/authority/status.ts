/** How things stand: one sentence, and the numbers behind it. */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { Tables } from '../store/tables.ts';
import type { Certificates } from './certificates.ts';
import type { Expiry } from './expiry.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import type { IssuerCensus, IssuerView } from './issuer-census.ts';
import type { Issuers } from './issuers.ts';

export interface StatusReport {
  readonly verdict: string;
  readonly healthy: boolean;
  readonly devices: Record<string, number>;
  readonly certificates: Record<string, number>;
  readonly gateways: readonly string[];
  readonly lastChange: number;
  readonly issuingCaExpiresAt: string;
  readonly startedAt: string;
}

const caWarningMs = 90 * 86_400_000;
const lateDays = 7;
/** Anybody may ask how things stand. */
const censusAgeMs = 10_000;

const sayLate = (late: number): string =>
  `${late} ${late === 1 ? 'certificate expires' : 'certificates expire'} within ${lateDays} days and ${late === 1 ? 'is' : 'are'} not renewed`;

const sayDraining = ({ id, certificates, devices }: IssuerView): string =>
  certificates === 0
    ? `The issuer ${id} is drained and can be removed.`
    : `The issuer ${id} is draining: ${devices} device(s) used it last, ${certificates} live certificate(s) are of it.`;

export interface StatusParts {
  read: Kysely<Tables>;
  certificates: Certificates;
  expiry: Expiry;
  gateways: Gateways;
  feed: Feed;
  clock: Clock;
  issuers: Issuers;
  census: IssuerCensus;
  /** Of other rooms, each as the end of a sentence. */
  problems: () => readonly string[];
}

export class Status {
  readonly #parts: StatusParts;
  readonly #startedAtMs: number;

  constructor(parts: StatusParts) {
    this.#parts = parts;
    this.#startedAtMs = parts.clock.now();
  }

  async read(): Promise<StatusReport> {
    const { read, certificates, expiry, gateways, feed, clock, issuers, problems: others } = this.#parts;
    const rows = await read
      .selectFrom('devices')
      .select(({ fn }) => ['state', fn.countAll<number>().as('count')])
      .groupBy('state')
      .execute();
    const devices = Object.fromEntries(rows.map(({ state, count }) => [state, count]));
    const late = await expiry.late(lateDays);
    const { id, ca } = issuers.preferred;
    const caLeftMs = ca.notAfterMs - clock.now();
    const problems = [
      ...(gateways.names.length === 0 ? ['no gateway follows this registry'] : []),
      ...(caLeftMs < caWarningMs
        ? [
            `the issuing CA ${id} expires in ${Math.floor(caLeftMs / 86_400_000)} days: roll it over (fleetgate issuers add)`,
          ]
        : []),
      ...(late > 0 ? [sayLate(late)] : []),
      ...others(),
    ];
    const well = `All is well: ${devices.active ?? 0} active devices, ${gateways.names.length} gateway(s).`;
    const verdict = problems.length === 0 ? well : `Look here: ${problems.join('; ')}.`;
    return {
      verdict: [verdict, ...(await this.#draining())].join(' '),
      healthy: problems.length === 0,
      devices,
      certificates: await certificates.counts(),
      gateways: gateways.names,
      lastChange: await feed.head(),
      issuingCaExpiresAt: timestamp(ca.notAfterMs),
      startedAt: timestamp(this.#startedAtMs),
    };
  }

  /** The census is taken when somebody waits for a drain to be over, and only then: it looks at every certificate. */
  async #draining(): Promise<string[]> {
    const { issuers, census } = this.#parts;
    if (!issuers.ids.some((id) => issuers.stateOf(id) === 'draining')) return [];
    return (await census.list(censusAgeMs)).filter(({ state }) => state === 'draining').map(sayDraining);
  }
}
