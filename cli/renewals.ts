/** `fleetgate fleets renewals`: what of a fleet is to be renewed, what is late, and the forecast day by day. */
import type { Command } from 'commander';
import { type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, paint, table } from './output.ts';

interface Forecast {
  fleet: string;
  buckets: { from: string; renewals: number }[];
  later: number;
  overdue: number;
  expired: number;
}

interface Flags extends NounFlags {
  forecast?: boolean;
  days: string;
}

const barWidth = 50;

export function renewalsCommand(fleets: Command): void {
  verb(fleets.command('renewals <fleet>'), 'fleets renewals plant --forecast')
    .description('what is to be renewed, and what is late')
    .option('--forecast', 'renewals day by day')
    .option('--days <n>', 'how far ahead', '90')
    .action((id: string, flags: Flags) =>
      withRegistry(flags, async (api, output) => {
        const path = `/v1/fleets/${encodeURIComponent(id)}/renewals?buckets=${encodeURIComponent(flags.days)}`;
        const forecast = await api.call<Forecast>('GET', path);
        output.answer(forecast, () => (flags.forecast ? chart(forecast) : summary(forecast, flags.days)));
      }),
    );
}

function summary({ fleet, buckets, later, overdue, expired }: Forecast, days: string): string[] {
  const soon = buckets.reduce((sum, { renewals }) => sum + renewals, 0);
  return facts([
    ['fleet', fleet],
    [`due in ${days} days`, soon],
    ['due later', later],
    ['overdue', overdue],
    ['expired, not renewed', expired],
  ]);
}

/** Bars in a terminal, bare numbers in a pipe. */
function chart({ buckets, later, overdue, expired }: Forecast): string[] {
  const most = Math.max(1, ...buckets.map(({ renewals }) => renewals));
  const bar = (renewals: number) => paint('cyan', '█'.repeat(Math.ceil((renewals / most) * barWidth)));
  const rows = buckets.map(({ from, renewals }) => [
    from.slice(0, 10),
    renewals,
    ...(process.stdout.isTTY ? [bar(renewals)] : []),
  ]);
  const late = [`overdue ${overdue}`, `expired and not renewed ${expired}`, `due later ${later}`];
  return [...table(['DAY', 'RENEWALS', ''], rows), ...(process.stdout.isTTY ? ['', late.join(' · ')] : [])];
}
