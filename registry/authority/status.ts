/** How things stand: one sentence, and the numbers behind it. */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { Tables } from '../store/tables.ts';
import type { Certificates } from './certificates.ts';
import type { Expiry } from './expiry.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';

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

const sayLate = (late: number): string =>
  `${late} ${late === 1 ? 'certificate expires' : 'certificates expire'} within ${lateDays} days and ${late === 1 ? 'is' : 'are'} not renewed`;

export class Status {
  readonly #parts: {
    read: Kysely<Tables>;
    certificates: Certificates;
    expiry: Expiry;
    gateways: Gateways;
    feed: Feed;
    clock: Clock;
    caNotAfterMs: number;
    /** Of other rooms, each as the end of a sentence. */
    problems: () => readonly string[];
  };
  readonly #startedAtMs: number;

  constructor(parts: {
    read: Kysely<Tables>;
    certificates: Certificates;
    expiry: Expiry;
    gateways: Gateways;
    feed: Feed;
    clock: Clock;
    caNotAfterMs: number;
    /** Of other rooms, each as the end of a sentence. */
    problems: () => readonly string[];
  }) {
    this.#parts = parts;
    this.#startedAtMs = parts.clock.now();
  }

  async read(): Promise<StatusReport> {
    const { read, certificates, expiry, gateways, feed, clock, caNotAfterMs, problems: others } = this.#parts;
    const rows = await read
      .selectFrom('devices')
      .select(({ fn }) => ['state', fn.countAll<number>().as('count')])
      .groupBy('state')
      .execute();
    const devices = Object.fromEntries(rows.map(({ state, count }) => [state, count]));
    const late = await expiry.late(lateDays);
    const caLeftMs = caNotAfterMs - clock.now();
    const problems = [
      ...(gateways.names.length === 0 ? ['no gateway follows this registry'] : []),
      ...(caLeftMs < caWarningMs
        ? [`the issuing CA expires in ${Math.floor(caLeftMs / 86_400_000)} days`]
        : []),
      ...(late > 0 ? [sayLate(late)] : []),
      ...others(),
    ];
    const well = `All is well: ${devices.active ?? 0} active devices, ${gateways.names.length} gateway(s).`;
    return {
      verdict: problems.length === 0 ? well : `Look here: ${problems.join('; ')}.`,
      healthy: problems.length === 0,
      devices,
      certificates: await certificates.counts(),
      gateways: gateways.names,
      lastChange: await feed.head(),
      issuingCaExpiresAt: timestamp(caNotAfterMs),
      startedAt: timestamp(this.#startedAtMs),
    };
  }
}
