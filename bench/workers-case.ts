/** What several workers cost beside one: the same fleet at two servers from the same registry, turn by turn, and the spread. */
import { cpSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { drained, median, use } from './compare.ts';
import type { Bench, Figure } from './figure.ts';
import { childrenOf, cpuUs } from './process-cost.ts';
import { type FleetgateServer, startFleetgate } from './servers.ts';

const rounds = 3;
const workers = 2;
/** The first connections warm the server up, and are not counted. */
const warmUp = 200;
const count = 1_000;
const rate = 150;
const pace = { burst: 1, everyMs: 50, qos: 1 } as const;

/** A server of its own on a copy of the registry: every device of the fleet may come in at it. */
async function startCopy(bench: Bench, name: string, processes: number): Promise<FleetgateServer> {
  const [from, dir] = [join(bench.dir, 'fleetgate'), join(bench.dir, name)];
  const to = join(dir, 'fleetgate');
  mkdirSync(to, { recursive: true, mode: 0o700 });
  const registry = new Database(join(from, 'registry.db'), { readonly: true });
  await registry.backup(join(to, 'registry.db'));
  registry.close();
  for (const part of ['ca', 'ca.passphrase', 'admin.token'])
    cpSync(join(from, part), join(to, part), { recursive: true });
  return startFleetgate(dir, { FLEETGATE_WORKERS: `${processes}` });
}

const socketsOf = (pid: number): number =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;

interface Cost {
  readonly connect: number[];
  readonly message: number[];
}

async function measure(bench: Bench, server: FleetgateServer, cost: Cost): Promise<number> {
  const { generator } = bench;
  await use(bench, server);
  const idle = childrenOf(server.pid).map(socketsOf);
  await generator.order({ do: 'connect', from: 0, to: warmUp, rate });
  const beforeConnects = cpuUs(server.pid);
  await generator.order({ do: 'connect', from: warmUp, to: warmUp + count, rate });
  cost.connect.push((cpuUs(server.pid) - beforeConnects) / count);
  const held = childrenOf(server.pid).map((pid, index) => socketsOf(pid) - idle[index]!);
  await use(bench, server);
  await generator.order({ do: 'connect', from: 0, to: 500, rate });
  await generator.order({ do: 'publish', seconds: 2, ...pace });
  await drained({ ...bench, fleetgate: server });
  const beforeMessages = cpuUs(server.pid);
  const sent = await generator.order<number>({ do: 'publish', seconds: 6, ...pace });
  await drained({ ...bench, fleetgate: server });
  cost.message.push((cpuUs(server.pid) - beforeMessages) / sent);
  return held.length === 0 ? 1 : (Math.max(...held) * held.length) / (warmUp + count);
}

export async function workerProcesses(bench: Bench): Promise<Figure[]> {
  await using opened = new AsyncDisposableStack();
  const start = async (name: string, processes: number) => {
    const server = await startCopy(bench, name, processes);
    opened.defer(() => server.stop());
    return server;
  };
  const [alone, several] = [await start('alone', 1), await start('several', workers)];
  const [one, many]: Cost[] = [
    { connect: [], message: [] },
    { connect: [], message: [] },
  ];
  const spread: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await measure(bench, alone, one!);
    spread.push(await measure(bench, several, many!));
  }
  const beside = `${workers} workers, beside one process`;
  return [
    {
      what: `CPU per mTLS connect, ${beside}`,
      unit: 'µs',
      ours: median(many!.connect),
      peer: median(one!.connect),
      target: 1.05,
    },
    {
      what: `CPU per QoS 1 message, one in flight, 500 devices at 10,000 a second, ${beside}`,
      unit: 'µs',
      ours: median(many!.message),
      peer: median(one!.message),
      target: 1.05,
    },
    {
      what: `connections of the fullest of ${workers} workers, beside an even part of ${warmUp + count}`,
      unit: '×',
      ours: Math.max(...spread),
      peer: 1,
      target: 1.2,
    },
  ];
}
