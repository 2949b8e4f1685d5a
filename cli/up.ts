/** `fleetgate up`, `registry` and `gateway`: the servers, whole or apart, until a signal ends them. */
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { systemClock } from '#common/clock.ts';
import type { RegistryLine } from '#common/contract/line.ts';
import type { Fault } from '#common/fault.ts';
import { type Logger, openLog } from '#common/log.ts';
import { type Metrics, openMetrics } from '#common/metrics.ts';
import { openGateway } from '../gateway/main.ts';
import { openRemoteLine } from '../gateway/upstream/remote-line.ts';
import { type DirectoryFile, Supervisor } from '../gateway/workers/supervisor.ts';
import { openRegistry, type Registry } from '../registry/main.ts';
import type { HandedSockets } from './activation.ts';
import { type Configuration, takeHandedSockets } from './config.ts';
import { type Whereabouts, writeWhereabouts } from './where.ts';

/** A running server: what it is reached by, and its end. */
export interface Running extends AsyncDisposable {
  readonly where: Whereabouts;
  /** Resolves when it cannot go on. */
  readonly failed: Promise<Fault>;
}

const clock = systemClock;

async function prepare(
  settings: Configuration,
): Promise<{ dataDir: string; log: Logger; sockets: HandedSockets }> {
  const dataDir = resolve(settings.data);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  return { dataDir, log: openLog(settings.log.level, 'fleetgate'), sockets: takeHandedSockets() };
}

function registryOf(
  settings: Configuration,
  dataDir: string,
  log: Logger,
  metrics: ReturnType<typeof openMetrics>,
  sockets: HandedSockets,
  opsPort?: number,
): Promise<Registry> {
  const { host, trustDomain, doorNames } = settings;
  return openRegistry({
    dataDir,
    host,
    settings,
    sockets,
    trustDomain,
    doorNames,
    metrics,
    log,
    clock,
    opsPort,
  });
}

/** A gateway, in this process or in several workers. */
interface Doors {
  readonly urls: { readonly mqtts: string; readonly https: string; readonly ops?: string };
  readonly failed: Promise<Fault>;
}

interface Ground {
  readonly dataDir: string;
  readonly line: RegistryLine;
  readonly directory: DirectoryFile;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly sockets: HandedSockets;
}

const neverFails = new Promise<Fault>(() => {});

async function openDoors(
  settings: Configuration,
  ground: Ground,
  opened: AsyncDisposableStack,
): Promise<Doors> {
  const { host, name } = settings;
  const workers = settings.workers === 0 ? availableParallelism() : settings.workers;
  if (workers === 1) {
    const { urls } = opened.use(await openGateway({ ...ground, host, name, settings, clock }));
    return { urls, failed: neverFails };
  }
  const program = new URL('./worker.ts', import.meta.url);
  const logLevel = settings.log.level;
  return opened.use(
    await Supervisor.open({ ...ground, workers, program, host, name, settings, logLevel, clock }),
  );
}

/** Registry and gateway in one process, or the gateway in processes of its own. */
export async function runAll(settings: Configuration): Promise<Running> {
  const { dataDir, log, sockets } = await prepare(settings);
  const metrics = openMetrics();
  await using opened = new AsyncDisposableStack();
  const registry = opened.use(await registryOf(settings, dataDir, log, metrics, sockets));
  const directory = { kind: 'registry', path: registry.directoryFile } as const;
  const ground = { dataDir, line: registry.line, directory, metrics, log, sockets };
  const gateway = await openDoors(settings, ground, opened);
  const { caFile: ca, adminTokenFile } = registry;
  const file = Object.values(settings.backends).find((backend) => backend.type === 'file');
  const events = file && { events: join(dataDir, file.path) };
  return running(
    dataDir,
    { ...gateway.urls, ...registry.urls, ca, adminTokenFile, ...events },
    opened,
    gateway.failed,
  );
}

/** The registry alone. */
export async function runRegistry(settings: Configuration): Promise<Running> {
  const { dataDir, log, sockets } = await prepare(settings);
  await using opened = new AsyncDisposableStack();
  const registry = opened.use(
    await registryOf(settings, dataDir, log, openMetrics(), sockets, settings.ops.port),
  );
  return running(
    dataDir,
    { ...registry.urls, ca: registry.caFile, adminTokenFile: registry.adminTokenFile },
    opened,
  );
}

/** A gateway that follows a registry elsewhere. */
export async function runGateway(
  settings: Configuration,
  remote: { url: string; ca?: string; tokenFile?: string },
): Promise<Running> {
  const { dataDir, log, sockets } = await prepare(settings);
  const { name, doorNames } = settings;
  await using opened = new AsyncDisposableStack();
  const names = [...new Set(['localhost', '127.0.0.1', '::1', ...doorNames])];
  const line = await openRemoteLine({
    registryUrl: remote.url,
    name,
    dataDir,
    caFile: remote.ca,
    tokenFile: remote.tokenFile,
    names,
    clock,
    log,
  });
  opened.defer(() => line.close());
  const directory = { kind: 'replica', path: line.directoryFile } as const;
  const ground = { dataDir, line, directory, metrics: openMetrics(), log, sockets };
  const gateway = await openDoors(settings, ground, opened);
  return running(dataDir, { ...gateway.urls }, opened, gateway.failed);
}

function running(
  dataDir: string,
  where: Whereabouts,
  opened: AsyncDisposableStack,
  failed = neverFails,
): Running {
  writeWhereabouts(dataDir, where);
  const stack = opened.move();
  return { where, failed, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Resolves at the first SIGTERM or SIGINT. */
export function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
}
