/**
 * A worker process: a gateway whole in itself, at ports that it shares with others, with the main process for all that it
 * must not do alone. It ends when it is told to, and at once when the main process is gone: it would hear of no revocation.
 */
import { systemClock } from '#common/clock.ts';
import { openLog, silentLog } from '#common/log.ts';
import { openMetrics } from '#common/metrics.ts';
import { HandedTicketKeys } from '../door/ticket-keys.ts';
import { type Gateway, openGateway } from '../main.ts';
import { Channel } from './channel.ts';
import { Owners } from './owners.ts';
import type { DirectoryFile, WorkerPorts, WorkerReport, WorkerSetup } from './setup.ts';
import { neighbourLine, type SharedDirectory, workerLine } from './worker-line.ts';
import { type DisplacedSession, WorkerOwnership } from './worker-ownership.ts';

/** A former owner is waited for so long; then what is stored of the session is taken as it is. */
const letGoMs = 3_000;

const clock = systemClock;

/** Runs until the main process says otherwise. `openDirectory` is the command's: a tower does not read another's files. */
export function runWorker(openDirectory: (file: DirectoryFile) => SharedDirectory): void {
  // A signal to the whole group is for the main process: it tells us when it is time.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {});
  const channel = new Channel(process, { clock, log: silentLog });
  const opened = new AsyncDisposableStack();
  // Once all is closed the end comes by itself.
  channel.onClosed(() => opened.disposed || process.kill(process.pid, 'SIGKILL'));
  channel.handle('open', (setup: WorkerSetup) => open(setup, channel, openDirectory, opened));
  channel.handle('close', () => opened.disposeAsync());
}

async function open(
  setup: WorkerSetup,
  channel: Channel,
  openDirectory: (file: DirectoryFile) => SharedDirectory,
  opened: AsyncDisposableStack,
): Promise<WorkerPorts> {
  const { worker, workers, dataDir, host, name, settings, sockets } = setup;
  const log = openLog(setup.logLevel, `fleetgate/${worker}`);
  channel.logTo(log);
  const line = workerLine(channel, setup, opened.use(openDirectory(setup.directory)));
  const neighbours = neighbourLine(channel);
  const tickets = new HandedTicketKeys(setup.tickets);
  channel.handle('tickets', (secret: Buffer) => tickets.replace(secret));
  const ownership = opened.use(
    new WorkerOwnership({
      owners: opened.use(Owners.open(dataDir)),
      worker,
      clock,
      displace: ({ worker: former, epoch }, clientId) =>
        channel.call<DisplacedSession | null>('displace', [former, clientId, epoch], letGoMs).catch(() => {
          log.warn({ worker: former }, 'A session that was taken over has not let go in time.');
          return null;
        }),
    }),
  );
  channel.handle('displaced', (clientId: string, epoch: number) => ownership.displaced(clientId, epoch));
  const metrics = openMetrics();
  const company = { worker, workers, ownership, tickets, neighbours };
  const gateway = opened.use(
    await openGateway({ dataDir, host, name, settings, sockets, line, metrics, log, clock, company }),
  );
  channel.handle('report', async (): Promise<WorkerReport> => {
    await gateway.refresh();
    return { metrics: await metrics.registry.getMetricsAsJSON(), reasons: await reasonsOf(gateway) };
  });
  return gateway.ports;
}

async function reasonsOf({ probes }: Gateway): Promise<WorkerReport['reasons']> {
  const reasons: { name: string; reason: string }[] = [];
  for (const [name, probe] of Object.entries(probes)) {
    const said = await probe();
    if (said !== true) reasons.push({ name, reason: said });
  }
  return reasons;
}
