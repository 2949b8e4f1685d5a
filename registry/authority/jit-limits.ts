/** How many devices an anchor may bring into being, and how fast: a CA that is taken over fills no registry. */
import { type Kysely, sql } from 'kysely';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { RateLimiter } from '#common/gcra.ts';
import type { Tables } from '../store/tables.ts';

export interface JitLimitsOptions {
  read: Kysely<Tables>;
  /** Devices of one anchor. */
  maxDevices: number;
  perSecond: number;
  clock: Clock;
}

const burstSeconds = 2;
/** Where the limit is reached, how often the devices are counted anew: some may have been deleted. */
const recountMs = 10_000;

export class JitLimits {
  readonly #options: JitLimitsOptions;
  readonly #rate: RateLimiter;
  readonly #counts = new Map<string, { count: number; atMs: number }>();

  constructor(options: JitLimitsOptions) {
    const { perSecond } = options;
    this.#options = options;
    this.#rate = new RateLimiter({ perSecond, burst: perSecond * burstSeconds });
  }

  /** Counts the devices of an anchor, where that has to be done. To be awaited before `judge`. */
  async prepare(anchor: string): Promise<void> {
    const { read, clock, maxDevices } = this.#options;
    const known = this.#counts.get(anchor);
    if (known && (known.count < maxDevices || clock.elapsed() - known.atMs < recountMs)) return;
    const { count } = await read
      .selectFrom('certificates')
      .innerJoin('devices', 'devices.id', 'certificates.device')
      .select(sql<number>`count(DISTINCT certificates.device)`.as('count'))
      .where('certificates.issuer', '=', anchor)
      .where('devices.state', '!=', 'deleted')
      .executeTakeFirstOrThrow();
    this.#counts.set(anchor, { count, atMs: clock.elapsed() });
  }

  /** Asked for each device that would come to be. Faults `quota-exceeded`, `rate-limited`. */
  judge(anchor: string): void {
    const { maxDevices, clock } = this.#options;
    if ((this.#counts.get(anchor)?.count ?? 0) >= maxDevices)
      throw new Fault(
        'quota-exceeded',
        `The anchor ${anchor} has brought in ${maxDevices} devices, as many as it may.`,
      );
    const { allowed, retryAfterMs } = this.#rate.take(anchor, clock.elapsed());
    if (!allowed)
      throw new Fault('rate-limited', `Too many new devices of the anchor ${anchor} at once; try again.`, {
        retryAfterMs,
      });
  }

  /** One has come to be. */
  counted(anchor: string): void {
    const known = this.#counts.get(anchor);
    if (known) known.count += 1;
  }
}
