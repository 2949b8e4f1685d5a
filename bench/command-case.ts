/** Commands: how long from the call of the API to the device, with the whole fleet connected and listening. */
import { performance } from 'node:perf_hooks';
import { systemClock } from '#common/clock.ts';
import { openRegistryApi } from '../cli/registry-api.ts';
import type { Bench, Figure } from './figure.ts';
import { cpuUs } from './process-cost.ts';

const seconds = 20;
const ratePerSecond = 100;
const clock = systemClock;
const wallMs = (): number => performance.timeOrigin + performance.now();

export async function commands({ generator, fleetgate, identities }: Bench): Promise<Figure[]> {
  await generator.order({ do: 'disconnect' });
  const target = { port: fleetgate.port, ca: fleetgate.ca };
  await generator.order({ do: 'use', target, identities: [...identities] });
  await generator.order({ do: 'connect', from: 0, to: identities.length, rate: 200 });
  await generator.order({ do: 'listen', rate: 1_000 });
  await using api = openRegistryApi(
    { url: fleetgate.registry, ca: fleetgate.ca, token: fleetgate.adminToken },
    16,
  );
  const send = async (nth: number) => {
    const { id } = identities[(nth * 7_919) % identities.length]!;
    await api.call('POST', `/v1/devices/${id}/commands`, { name: 'ping', payload: String(wallMs()) });
  };
  // The first calls warm the server and the connections up, and are not counted.
  for (let n = 0; n < 100; n++) await send(n);
  await clock.sleep(500);
  await generator.order({ do: 'heard' });
  const [cpuBefore, startMs] = [cpuUs(fleetgate.pid), clock.elapsed()];
  const calls: Promise<void>[] = [];
  for (let n = 0; n < seconds * ratePerSecond; n++) {
    const dueMs = startMs + (n * 1000) / ratePerSecond;
    if (clock.elapsed() < dueMs) await clock.sleep(Math.max(1, dueMs - clock.elapsed()));
    calls.push(send(n));
  }
  await Promise.all(calls);
  await clock.sleep(500);
  const cpu = (cpuUs(fleetgate.pid) - cpuBefore) / calls.length;
  const heard = (await generator.order<number[]>({ do: 'heard' })).sort((a, b) => a - b);
  if (heard.length !== calls.length) throw new Error(`${calls.length} sent, ${heard.length} heard`);
  const at = (share: number) => heard[Math.floor(heard.length * share)]!;
  const what = `command, ${ratePerSecond} a second, ${identities.length} devices listening: API call to device`;
  return [
    { what: `${what}, p50`, unit: 'ms', ours: at(0.5), peer: null, target: null },
    { what: `${what}, p99`, unit: 'ms', ours: at(0.99), peer: null, target: 20 },
    { what: 'CPU per command, call to acknowledgement', unit: 'µs', ours: cpu, peer: null, target: null },
  ];
}
