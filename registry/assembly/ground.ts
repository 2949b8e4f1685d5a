/** Assembles what everything stands on: the store, the directory, the audit, the feed and those who follow it. */
import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { Audit } from '../authority/audit.ts';
import { Feed } from '../authority/feed.ts';
import { Gateways } from '../authority/gateways.ts';
import type { RegistrySettings } from '../settings.ts';
import { FileDirectory } from '../store/directory.ts';
import { Store } from '../store/store.ts';

export interface Ground {
  readonly store: Store;
  readonly directory: FileDirectory;
  readonly audit: Audit;
  readonly feed: Feed;
  readonly gateways: Gateways;
  /** What nearly every noun asks for. */
  readonly parts: {
    readonly read: Store['read'];
    readonly writer: Store['writer'];
    readonly audit: Audit;
    readonly feed: Feed;
    readonly gateways: Gateways;
    readonly clock: Clock;
  };
}

/** Opened first and closed last. Faults `conflict` when another process holds the folder. */
export function layGround(
  {
    dataDir,
    settings,
    metrics,
    log,
    clock,
  }: {
    dataDir: string;
    settings: RegistrySettings;
    metrics: Metrics;
    log: Logger;
    clock: Clock;
  },
  opened: AsyncDisposableStack,
): Ground {
  const store = opened.use(Store.open(dataDir));
  const directory = opened.use(FileDirectory.open(store.path, () => store.writer.commits));
  const { read, writer } = store;
  const audit = new Audit(read, clock);
  const feed = new Feed(read, clock);
  const gateways = new Gateways({ feed, metrics, clock, log, timeoutMs: settings.registry.receiptTimeout });
  const parts = { read, writer, audit, feed, gateways, clock };
  return { store, directory, audit, feed, gateways, parts };
}
