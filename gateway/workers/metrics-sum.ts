/**
 * The metrics of all processes as one: counters and histograms summed, gauges as each says (openMetrics). What a worker
 * that is gone had counted stays counted: a sum that falls would look like a restart of everything.
 */
import {
  AggregatorRegistry,
  type MetricObjectWithValues,
  type MetricValue,
  type Registry,
} from 'prom-client';
import type { Metrics } from '#common/metrics.ts';

/** What `getMetricsAsJSON` gives. */
export type Snapshot = readonly object[];
type Metric = MetricObjectWithValues<MetricValue<string>>;

/** Kept in the spool, and told by whoever opens it next: never counted twice. */
const ledger = ['fleetgate_messages_delivered_total', 'fleetgate_messages_dead_lettered_total'];

export class MetricsSum {
  readonly #own: Registry;
  /** Counts of workers that are gone. */
  #past: Snapshot = [];
  readonly #newlyPast: Snapshot[] = [];
  /** By worker, until its successor tells them. */
  readonly #ledgers = new Map<number, Snapshot>();

  constructor({ registry }: Metrics) {
    this.#own = registry;
  }

  /** A worker is gone; its last report. */
  bury(worker: number, last: Snapshot): void {
    const counts = (last as readonly Metric[]).filter(({ type }) => isCount(String(type)));
    this.#ledgers.set(
      worker,
      counts.filter(({ name }) => ledger.includes(name)),
    );
    this.#newlyPast.push(counts.filter(({ name }) => !ledger.includes(name)));
  }

  /** In the text format of Prometheus. */
  async text(reports: ReadonlyMap<number, Snapshot>): Promise<string> {
    if (this.#newlyPast.length > 0)
      this.#past = await aggregate([this.#past, ...this.#newlyPast.splice(0)]).getMetricsAsJSON();
    for (const worker of reports.keys()) this.#ledgers.delete(worker);
    const own = await this.#own.getMetricsAsJSON();
    return aggregate([own, this.#past, ...this.#ledgers.values(), ...reports.values()]).metrics();
  }

  get contentType(): string {
    return this.#own.contentType;
  }
}

const isCount = (type: string): boolean => type === 'counter' || type === 'histogram';

const aggregate = (snapshots: readonly Snapshot[]): Registry =>
  AggregatorRegistry.aggregate([...snapshots] as object[]);
