/** What became of commands is reported in lots, kept while the registry is away, and bounded. */
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { CommandProgress } from '#common/contract/command.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import { silentLog } from '#common/log.ts';
import { mostNoted, Progress } from '../../../../gateway/commands/progress.ts';
import { eventually } from '../../../harness/eventually.ts';

const pump = 'pump' as DeviceId;

function open() {
  const reports: CommandProgress[][] = [];
  const registry = { away: false };
  const ask = (async (_kind: string, { progress }: { progress: CommandProgress[] }) => {
    if (registry.away) throw new Fault('unavailable', 'away');
    reports.push(progress);
    return null;
  }) as unknown as AskRegistry;
  return { progress: new Progress({ ask, clock: systemClock, log: silentLog }), reports, registry };
}

test('what comes within a moment goes in one report, a command once', async () => {
  const { progress, reports } = open();
  progress.handed({ id: 'a', device: pump });
  progress.handed({ id: 'b', device: pump });
  progress.delivered('a', pump);
  await eventually(() => expect(reports).toHaveLength(1));
  expect(reports[0]).toMatchObject([
    { id: 'a', handed: 1, deliveredMs: expect.any(Number) },
    { id: 'b', handed: 1, deliveredMs: null },
  ]);
});

test('what could not be told is told later, summed up', async () => {
  const { progress, reports, registry } = open();
  registry.away = true;
  progress.handed({ id: 'a', device: pump });
  await expect(progress.flush()).rejects.toThrow('away');
  progress.handed({ id: 'a', device: pump });
  registry.away = false;
  await progress.flush();
  expect(reports.flat()).toMatchObject([{ id: 'a', handed: 2 }]);
  expect(progress.size).toBe(0);
});

test('the oldest is forgotten when too much is noted', async () => {
  const { progress, registry } = open();
  registry.away = true;
  for (let n = 0; n <= mostNoted; n++) progress.handed({ id: `c${n}`, device: pump });
  expect(progress.size).toBe(mostNoted);
  registry.away = false;
  await progress.flush();
});
