/** The whole house in this process, under a clock that can be set forward: real sockets and timers, other days. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { type Clock, systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { type Metrics, openMetrics } from '#common/metrics.ts';
import { readConfiguration } from '../../cli/config.ts';
import { openGateway } from '../../gateway/main.ts';
import { openRegistry, type Registry } from '../../registry/main.ts';
import { type ApiClient, apiClient } from './api-client.ts';

/** The system's clock, so many milliseconds ahead. Its timers are the system's own. */
export class MovableClock implements Clock {
  aheadMs = 0;
  now = () => systemClock.now() + this.aheadMs;
  elapsed = () => systemClock.elapsed();
  after = systemClock.after;
  every = systemClock.every;
  sleep = systemClock.sleep;
}

export class TimedHouse implements AsyncDisposable {
  readonly clock: MovableClock;
  readonly registry: Registry;
  readonly api: ApiClient;
  readonly metrics: Metrics;
  readonly ports: { readonly mqtts: number; readonly https: number };
  readonly dir: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    parts: Pick<TimedHouse, 'clock' | 'registry' | 'api' | 'metrics' | 'ports' | 'dir'>,
    stack: AsyncDisposableStack,
  ) {
    this.clock = parts.clock;
    this.registry = parts.registry;
    this.api = parts.api;
    this.metrics = parts.metrics;
    this.ports = parts.ports;
    this.dir = parts.dir;
    this.#stack = stack;
  }

  /** `settings` by dotted path, as flags give them. */
  static async start(settings: Record<string, unknown> = {}): Promise<TimedHouse> {
    await using opened = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), 'timed-'));
    opened.defer(() => rm(dir, { recursive: true, force: true }));
    const free = Object.fromEntries(
      ['mqtt', 'https', 'registry', 'pki', 'ops'].map((door) => [`${door}.port`, 0]),
    );
    const read = readConfiguration(undefined, { data: dir, ...free, ...settings });
    const clock = new MovableClock();
    const metrics = openMetrics();
    const common = { dataDir: dir, host: '127.0.0.1', settings: read, metrics, log: silentLog, clock };
    const registry = opened.use(await openRegistry({ ...common, trustDomain: read.trustDomain }));
    const gateway = opened.use(await openGateway({ ...common, name: 'gateway', line: registry.line }));
    const token = (await readFile(registry.adminTokenFile, 'utf8')).trim();
    const api = apiClient(registry.urls.registry, await readFile(registry.caFile, 'utf8'), token);
    opened.defer(() => api.close());
    const ports = { mqtts: portOf(gateway.urls.mqtts), https: portOf(gateway.urls.https) };
    return new TimedHouse({ clock, registry, api, metrics, ports, dir }, opened.move());
  }

  /** What the registry has on disk. */
  rows<Row>(query: string, ...values: unknown[]): Row[] {
    const db = new Database(join(this.dir, 'registry.db'), { readonly: true });
    try {
      return db.prepare(query).all(...values) as Row[];
    } finally {
      db.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

const portOf = (url: string): number => Number(new URL(url).port);
