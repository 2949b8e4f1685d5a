/** Assembles what the registry does by the clock. */
import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { Sweeper } from '../authority/sweeper.ts';
import type { RegistrySettings } from '../settings.ts';
import type { Nouns } from './nouns.ts';

const certificateCountMs = 30_000;
const approvalSweepMs = 60_000;
const expiryCountMs = 60_000;

/** Counts, sweeps, and what a crash had cut short. `refresh` brings the gauges up to date when they are read. */
export async function startPeriodicWork(
  { certificates, expiry, approvals, retirement, assignments }: Nouns,
  {
    settings,
    metrics,
    log,
    clock,
  }: {
    settings: RegistrySettings;
    metrics: Metrics;
    log: Logger;
    clock: Clock;
  },
  opened: AsyncDisposableStack,
): Promise<{ refresh: () => Promise<void> }> {
  const countCertificates = async () => {
    for (const [state, count] of Object.entries(await certificates.counts()))
      metrics.certificates.set({ state }, count);
  };
  await countCertificates();
  await expiry.report();
  opened.defer(
    clock.every(certificateCountMs, () => {
      countCertificates().catch((error) => log.error({ error }, 'The certificates could not be counted.'));
    }),
  );

  opened.defer(
    clock.every(approvalSweepMs, () => {
      approvals.sweep().catch((error) => log.error({ error }, 'Old enrollments could not be forgotten.'));
    }),
  );

  const count = { clock, log, periodMs: expiryCountMs };
  opened.use(new Sweeper({ ...count, sweeps: { count: () => expiry.report().then(() => 0) } }));
  opened.use(
    new Sweeper({
      clock,
      log,
      periodMs: settings.registry.sweepInterval,
      sweeps: { retire: () => retirement.sweep(), expire: () => expiry.sweep() },
    }),
  );

  // What a crash had cut short: in lots, beside all else.
  const closing = new AbortController();
  const settled = assignments
    .settle(closing.signal)
    .catch((error) => log.error({ error }, 'Roles by attributes could not be settled.'));
  opened.defer(async () => {
    closing.abort();
    await settled;
  });

  return { refresh: countCertificates };
}
