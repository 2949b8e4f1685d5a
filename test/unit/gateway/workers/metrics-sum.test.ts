/** The metrics of several processes as one, that never falls when one of them is gone. */
import { expect, test } from 'vitest';
import { type Metrics, openMetrics } from '#common/metrics.ts';
import { MetricsSum } from '../../../../gateway/workers/metrics-sum.ts';

const snapshot = async ({ registry }: Metrics) => structuredClone(await registry.getMetricsAsJSON());

async function sampleOf(
  sum: MetricsSum,
  reports: Map<number, readonly object[]>,
  name: string,
): Promise<number> {
  const line = (await sum.text(reports)).split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}

const admitted = 'fleetgate_connects_total{protocol="mqtt",result="admitted",reason="none"}';
const delivered = 'fleetgate_messages_delivered_total{backend="file"}';

function worker(connects: number, deliveries: number, lag: number): Metrics {
  const metrics = openMetrics();
  metrics.connectsTotal.inc({ protocol: 'mqtt', result: 'admitted', reason: 'none' }, connects);
  metrics.messagesDeliveredTotal.inc({ backend: 'file' }, deliveries);
  metrics.connections.set({ protocol: 'mqtt' }, connects);
  metrics.directoryLagSeconds.set(lag);
  metrics.backendUp.set({ backend: 'file' }, lag > 5 ? 0 : 1);
  for (let n = 0; n < connects; n++) metrics.connectSeconds.observe(0.003);
  return metrics;
}

test('counters and histograms are summed, gauges are what each means', async () => {
  const own = openMetrics();
  own.enrollmentsTotal.inc({ result: 'issued', reason: 'none' }, 3);
  own.workers.set(2);
  const sum = new MetricsSum(own);
  const reports = new Map([
    [1, await snapshot(worker(5, 7, 1))],
    [2, await snapshot(worker(2, 1, 9))],
  ]);
  const value = (name: string) => sampleOf(sum, reports, name);
  expect(await value(admitted)).toBe(7);
  expect(await value('fleetgate_connections{protocol="mqtt"}')).toBe(7);
  expect(await value('fleetgate_connect_seconds_count')).toBe(7);
  expect(await value('fleetgate_connect_seconds_bucket{le="0.005"}')).toBe(7);
  expect(await value('fleetgate_directory_lag_seconds')).toBe(9);
  expect(await value('fleetgate_backend_up{backend="file"}')).toBe(0);
  expect(await value('fleetgate_workers')).toBe(2);
  expect(await value('fleetgate_enrollments_total{result="issued",reason="none"}')).toBe(3);
});

test('what a worker that is gone had counted stays; the ledger is its successor’s, and is not counted twice', async () => {
  const sum = new MetricsSum(openMetrics());
  const other = await snapshot(worker(2, 1, 0));
  sum.bury(1, await snapshot(worker(5, 7, 0)));
  let reports = new Map([[2, other]]);
  expect(await sampleOf(sum, reports, admitted)).toBe(7);
  expect(await sampleOf(sum, reports, delivered)).toBe(8);
  expect(await sampleOf(sum, reports, 'fleetgate_connections{protocol="mqtt"}')).toBe(2);
  // The successor opens the same spool, and tells its totals.
  reports = new Map([
    [1, await snapshot(worker(1, 7, 0))],
    [2, other],
  ]);
  expect(await sampleOf(sum, reports, admitted)).toBe(8);
  expect(await sampleOf(sum, reports, delivered)).toBe(8);
  sum.bury(1, await snapshot(worker(1, 9, 0)));
  expect(await sampleOf(sum, new Map([[2, other]]), admitted)).toBe(8);
  expect(await sampleOf(sum, new Map([[2, other]]), delivered)).toBe(10);
  expect(await sampleOf(sum, new Map([[2, other]]), 'fleetgate_connect_seconds_count')).toBe(8);
});
