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
/** How late a command that has run out may be told of. */
const commandSweepMs = 1_000;

/** Counts, sweeps, and what a crash had cut short. `refresh` brings the gauges up to date when they are read. */
export async function startPeriodicWork(
  { certificates, expiry, approvals, retirement, assignments, commandExpiry, commandOutcomes }: Nouns,
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
  await commandOutcomes.report();
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

  opened.use(
    new Sweeper({ clock, log, periodMs: commandSweepMs, sweeps: { commands: () => commandExpiry.sweep() } }),
  );
  const count = { clock, log, periodMs: expiryCountMs };
  opened.use(
    new Sweeper({
      ...count,
      sweeps: {
        count: () => Promise.all([expiry.report(), commandOutcomes.report()]).then(() => 0),
        forget: () => commandExpiry.purge(),
      },
    }),
  );
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
