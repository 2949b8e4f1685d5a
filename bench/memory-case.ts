/** What a connection that says nothing holds in memory. */
import { systemClock } from '#common/clock.ts';
import { use } from './compare.ts';
import type { Bench, Figure } from './figure.ts';
import { residentBytes } from './process-cost.ts';
import type { Server } from './servers.ts';

const open = 10_000;

export async function memory(bench: Bench): Promise<Figure[]> {
  const measure = async (server: Server): Promise<number> => {
    await use(bench, server);
    await systemClock.sleep(1_000);
    const before = residentBytes(server.pid);
    await bench.generator.order({ do: 'connect', from: 0, to: open, rate: 250 });
    await systemClock.sleep(3_000);
    return (residentBytes(server.pid) - before) / open / 1000;
  };
  const peer = await measure(bench.mosquitto);
  const ours = await measure(bench.fleetgate);
  return [
    {
      what: 'resident memory per idle mTLS connection, 10,000 open',
      unit: 'kB',
      ours,
      peer: null,
      target: 65,
    },
    { what: 'the same, mosquitto', unit: 'kB', ours: peer, peer: null, target: null },
  ];
}
