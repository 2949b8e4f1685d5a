/** The watch for clones: who is reported, once, with what was seen; and who is not even remembered. */
import { expect, test } from 'vitest';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import type { Suspect } from '#common/contract/suspicion.ts';
import { Fault } from '#common/fault.ts';
import { parseDeviceId } from '#common/identity.ts';
import { silentLog } from '#common/log.ts';
import { openMetrics } from '#common/metrics.ts';
import { CloneWatch, type Visit } from '../../../../gateway/limits/clone-watch.ts';
import { eventually } from '../../../harness/eventually.ts';
import { StillClock } from '../../../harness/still-clock.ts';

function watchOf(more: { sequence?: string; quarantine?: boolean; size?: number } = {}) {
  const clock = new StillClock(1_000_000);
  const metrics = openMetrics();
  const reports: Suspect[] = [];
  let away = false;
  const ask = (async (_kind: string, report: Suspect) => {
    if (away) throw new Fault('unavailable', 'The registry is away.');
    reports.push(report);
  }) as unknown as AskRegistry;
  const { size = 100, ...own } = more;
  const settings = { threshold: 3, halfLife: 3_600_000, sequence: '', quarantine: false, ...own };
  const watch = new CloneWatch({ settings, ask, clock, log: silentLog, metrics, size });
  const session = (address: string) =>
    ({
      peer: { address },
      entry: { device: parseDeviceId('d') },
      connectedAtMs: clock.now(),
      lastHeardMs: clock.elapsed(),
    }) satisfies Visit;
  /** Sessions that end each other, ten seconds apart. */
  const fight = async (...addresses: string[]) => {
    let older = session(addresses[0]!);
    for (const address of addresses.slice(1)) {
      await clock.move(10_000);
      const newer = session(address);
      watch.tookOver(older, newer);
      older = newer;
    }
  };
  return {
    watch,
    fight,
    reports,
    metrics,
    leave: (yes: boolean) => {
      away = yes;
    },
  };
}
const [real, clone] = ['192.0.2.1:1000', '198.51.100.1:1000'];
const takeovers = async (metrics: ReturnType<typeof openMetrics>) =>
  Object.fromEntries(
    (await metrics.takeoversTotal.get()).values.map(({ labels, value }) => [labels.address, value]),
  );

test('two that end each other again and again are reported once, with where and when', async () => {
  const { fight, reports, metrics } = watchOf({ quarantine: true });
  await fight(real, clone, real, clone, real, clone);
  await eventually(() => expect(reports).toHaveLength(1));
  expect(reports[0]).toMatchObject({ device: 'd', reason: 'takeovers', quarantine: true });
  expect(reports[0]!.score).toBeGreaterThanOrEqual(2.9);
  expect(new Set(reports[0]!.places.map(({ address }) => address))).toEqual(new Set([real, clone]));
  expect(await takeovers(metrics)).toEqual({ same: 0, other: 5 });
  expect((await metrics.clonesSuspectedTotal.get()).values[0]!.value).toBe(1);
});

test('what is remembered goes with the device from process to process', async () => {
  const [here, there] = [watchOf(), watchOf()];
  await here.fight(real, clone, real, clone);
  const visit = { entry: { device: parseDeviceId('d') } };
  const luggage = structuredClone(here.watch.pack(visit));
  expect(here.watch.pack(visit)).toBe(null);
  there.watch.unpack(visit.entry.device, luggage);
  await there.fight(clone, real, clone);
  await eventually(() => expect(there.reports).toHaveLength(1));
  expect(here.reports).toEqual([]);
  // Alone it would not have been enough.
  const alone = watchOf();
  await alone.fight(clone, real, clone);
  expect(alone.reports).toEqual([]);
});

test('a device that takes over itself where it is, or moves once, is nobody’s business', async () => {
  const { fight, reports, metrics } = watchOf();
  await fight(real, real, real, real, real, '192.0.2.9:1', real, clone);
  expect(reports).toEqual([]);
  expect(await takeovers(metrics)).toEqual({ same: 4, other: 3 });
});

test('while the registry is away a suspicion is kept, and reported when it is back', async () => {
  const { fight, reports, leave } = watchOf();
  leave(true);
  await fight(real, clone, real, clone, real, clone);
  leave(false);
  await fight(real, clone, real);
  await eventually(() => expect(reports).toHaveLength(1));
});

test('a sequence that goes back elsewhere is reported; without a name nothing is counted', async () => {
  const device = parseDeviceId('d');
  const { watch, reports } = watchOf({ sequence: 'sequence' });
  watch.counted(device, { address: real }, '50000');
  watch.counted(device, { address: real }, '50001');
  watch.counted(device, { address: clone }, 'no number');
  expect(reports).toEqual([]);
  watch.counted(device, { address: clone }, '40000');
  await eventually(() => expect(reports).toHaveLength(1));
  expect(reports[0]).toMatchObject({ reason: 'sequence', score: 3 });
  const off = watchOf();
  off.watch.counted(device, { address: real }, '50000');
  off.watch.counted(device, { address: clone }, '40000');
  expect(off.reports).toEqual([]);
});

test('of a bounded number of devices is known how far they have counted', async () => {
  const { watch, reports } = watchOf({ sequence: 'sequence', size: 10 });
  watch.counted(parseDeviceId('d'), { address: real }, '50000');
  for (let n = 0; n < 10; n++) watch.counted(parseDeviceId(`d${n}`), { address: real }, '50000');
  watch.counted(parseDeviceId('d'), { address: clone }, '40000');
  expect(reports).toEqual([]);
});
