/** What it costs to come in: a full handshake, a resumed one, and ten thousand devices that come back at once. */
import { availableParallelism } from 'node:os';
import { compare, median, use } from './compare.ts';
import type { Bench, Figure } from './figure.ts';
import { cpuUs } from './process-cost.ts';
import type { Server } from './servers.ts';

/** The first connections warm the server up, and are not counted. */
const warmUp = 200;
const count = 1_000;
const rate = 150;

async function connectOnce(bench: Bench, server: Server, resume: boolean): Promise<number> {
  await bench.generator.order({ do: 'connect', from: 0, to: warmUp, rate, resume });
  const before = cpuUs(server.pid);
  await bench.generator.order({ do: 'connect', from: warmUp, to: warmUp + count, rate, resume });
  return (cpuUs(server.pid) - before) / count;
}

export async function connect(bench: Bench): Promise<Figure[]> {
  const cost = await compare(bench, async (server) => {
    await use(bench, server);
    return connectOnce(bench, server, false);
  });
  return [{ what: 'CPU per mTLS connect until CONNACK', unit: 'µs', ...cost, target: 0.9 }];
}

export async function resumption(bench: Bench): Promise<Figure[]> {
  const full: number[] = [];
  const resumed: number[] = [];
  for (let round = 0; round < 3; round++) {
    await use(bench, bench.fleetgate);
    full.push(await connectOnce(bench, bench.fleetgate, false));
    await bench.generator.order({ do: 'disconnect' });
    resumed.push(await connectOnce(bench, bench.fleetgate, true));
  }
  return [
    {
      what: 'CPU per connect that resumes its TLS session, beside our own full one',
      unit: 'µs',
      ours: median(resumed),
      peer: median(full),
      target: 0.45,
    },
  ];
}

/**
 * All are lost at once and come back, resuming, each after a random pause within what the CPU needs at least for all of
 * them, with back-off when it fails. The minimum: the CPU that server and generator have spent, over the cores there are.
 */
export async function storm(bench: Bench): Promise<Figure[]> {
  const { fleetgate, generator } = bench;
  const devices = 10_000;
  await use(bench, fleetgate);
  await generator.order({ do: 'connect', from: 0, to: devices, rate: 250 });
  const before = cpuUs(fleetgate.pid);
  const { elapsedMs, attempts, cpuMs } = await generator.order<{
    elapsedMs: number;
    attempts: number;
    cpuMs: number;
  }>({ do: 'storm', withinMs: 5_000 });
  const serverMs = (cpuUs(fleetgate.pid) - before) / 1000;
  const minimumMs = Math.max(serverMs, cpuMs, (serverMs + cpuMs) / availableParallelism());
  return [
    {
      what: 'storm of 10,000 that resume: until all are back, beside what the CPU needs at least',
      unit: 'ms',
      ours: elapsedMs,
      peer: minimumMs,
      target: 1.2,
    },
    { what: 'the same: CPU of the server', unit: 'ms', ours: serverMs, peer: null, target: null },
    { what: 'the same: CPU of the generator', unit: 'ms', ours: cpuMs, peer: null, target: null },
    { what: 'the same: attempts', unit: '', ours: attempts, peer: null, target: null },
  ];
}
