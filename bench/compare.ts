/** Both servers, turn by turn: what cases of the bench share. */
import { systemClock } from '#common/clock.ts';
import type { Bench } from './figure.ts';
import type { Server } from './servers.ts';

const rounds = 3;
export const median = (values: number[]): number =>
  values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
const clock = systemClock;

/** The generator turns to a server, with the first so many of the fleet. */
export async function use({ generator, identities }: Bench, server: Server): Promise<void> {
  await generator.order({ do: 'disconnect' });
  await clock.sleep(500);
  await generator.order({
    do: 'use',
    target: { port: server.port, ca: server.ca },
    identities: [...identities],
  });
}

/** Runs a measurement for both servers, turn by turn, and gives the medians. */
export async function compare(
  bench: Bench,
  measure: (server: Server, round: number) => Promise<number>,
): Promise<{ ours: number; peer: number }> {
  const ours: number[] = [];
  const peer: number[] = [];
  for (let round = 0; round < rounds; round++) {
    peer.push(await measure(bench.mosquitto, round));
    ours.push(await measure(bench.fleetgate, round));
  }
  return { ours: median(ours), peer: median(peer) };
}

/** Everything acknowledged is the file backend's, and counted. */
export async function drained({ fleetgate }: Bench): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const metrics = await (await fetch(`${fleetgate.ops}/metrics`)).text();
    if (/fleetgate_messages_pending\{backend="file"\} 0$/m.test(metrics)) return;
    await clock.sleep(50);
  }
}
