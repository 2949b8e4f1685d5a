/** What is measured: each case a function of a bench at hand, giving figures with the target they are held against. */

import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import Database from 'better-sqlite3';
import { systemClock } from '#common/clock.ts';
import type { Fingerprint } from '#common/identity.ts';
import { openRegistryApi } from '../cli/registry-api.ts';
import { FileDirectory } from '../registry/store/directory.ts';
import { Store } from '../registry/store/store.ts';
import { enrollment } from './enrollment-case.ts';
import type { Bench, Figure } from './figure.ts';
import { cpuUs, residentBytes } from './process-cost.ts';
import { type Server, startSubscriber } from './servers.ts';
import { status } from './status-case.ts';

const rounds = 3;
const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
const clock = systemClock;

async function use({ generator, identities }: Bench, server: Server): Promise<void> {
  await generator.order({ do: 'disconnect' });
  await clock.sleep(500);
  await generator.order({
    do: 'use',
    target: { port: server.port, ca: server.ca },
    identities: [...identities],
  });
}

/** Runs a measurement for both servers, turn by turn, and gives the medians. */
async function compare(
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
async function drained({ fleetgate }: Bench): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const metrics = await (await fetch(`${fleetgate.ops}/metrics`)).text();
    if (/fleetgate_messages_pending\{backend="file"\} 0$/m.test(metrics)) return;
    await clock.sleep(50);
  }
}

async function connect(bench: Bench): Promise<Figure[]> {
  const count = 1_000;
  const cost = await compare(bench, async (server) => {
    await use(bench, server);
    // The first connections warm the server up, and are not counted.
    await bench.generator.order({ do: 'connect', from: 0, to: 200, rate: 150 });
    const before = cpuUs(server.pid);
    await bench.generator.order({ do: 'connect', from: 200, to: 200 + count, rate: 150 });
    return (cpuUs(server.pid) - before) / count;
  });
  return [{ what: 'CPU per mTLS connect until CONNACK', unit: 'µs', ...cost, target: 1.0 }];
}

async function publish(
  bench: Bench,
  burst: number,
  everyMs: number,
): Promise<{ ours: number; peer: number }> {
  return compare(bench, async (server) => {
    await use(bench, server);
    await bench.generator.order({ do: 'connect', from: 0, to: 500, rate: 200 });
    await using opened = new AsyncDisposableStack();
    if (server === bench.mosquitto) {
      const subscriber = await startSubscriber(bench.dir, server, bench.identities[500]!);
      opened.defer(() => subscriber.stop());
    }
    await bench.generator.order({ do: 'publish', seconds: 2, burst, everyMs });
    await drained(bench);
    const before = cpuUs(server.pid);
    const acknowledged = await bench.generator.order<number>({ do: 'publish', seconds: 6, burst, everyMs });
    if (server === bench.fleetgate) await drained(bench);
    return (cpuUs(server.pid) - before) / acknowledged;
  });
}

async function messages(bench: Bench): Promise<Figure[]> {
  const paced = await publish(bench, 1, 50);
  const flatOut = await publish(bench, 1, 0);
  const pipelined = await publish(bench, 20, 1_000);
  return [
    {
      what: 'CPU per QoS 1 message, one in flight, 500 devices at 10,000 a second',
      unit: 'µs',
      ...paced,
      target: 0.8,
    },
    {
      what: 'CPU per QoS 1 message, one in flight, 500 devices flat out',
      unit: 'µs',
      ...flatOut,
      target: 0.8,
    },
    {
      what: 'CPU per QoS 1 message, pipelined by 20, 500 devices at 10,000 a second',
      unit: 'µs',
      ...pipelined,
      target: 0.5,
    },
  ];
}

async function memory(bench: Bench): Promise<Figure[]> {
  const measure = async (server: Server): Promise<number> => {
    await use(bench, server);
    await clock.sleep(1_000);
    const before = residentBytes(server.pid);
    const already = 0;
    await bench.generator.order({ do: 'connect', from: already, to: 5_000, rate: 250 });
    await clock.sleep(3_000);
    return (residentBytes(server.pid) - before) / 5_000 / 1000;
  };
  const peer = await measure(bench.mosquitto);
  const ours = await measure(bench.fleetgate);
  return [
    {
      what: 'resident memory per idle connection, 5,000 open (target is 75 kB)',
      unit: 'kB',
      ours,
      peer: null,
      target: 75,
    },
    { what: 'the same, mosquitto', unit: 'kB', ours: peer, peer: null, target: null },
  ];
}

async function revoke(bench: Bench): Promise<Figure[]> {
  const { fleetgate, generator, identities } = bench;
  await use(bench, fleetgate);
  await generator.order({ do: 'connect', from: 0, to: 5_000, rate: 250 });
  const api = openRegistryApi({ url: fleetgate.registry, ca: fleetgate.ca, token: fleetgate.adminToken });
  const askedAt = new Map<string, number>();
  const reported: number[] = [];
  const doomed = identities.slice(4_800, 5_000);
  for (const { id } of doomed) {
    askedAt.set(id, clock.now());
    const { sessions } = await api.call<{ sessions: { closedAfterMs: number }[] }>(
      'POST',
      `/v1/devices/${id}/revoke`,
      {},
    );
    reported.push(...sessions.map(({ closedAfterMs }) => closedAfterMs));
  }
  await clock.sleep(500);
  const closedAt = new Map(await generator.order<[string, number][]>({ do: 'watch' }));
  const seen = doomed.map(({ id }) => (closedAt.get(id) ?? Number.POSITIVE_INFINITY) - askedAt.get(id)!);
  await api[Symbol.asyncDispose]();
  const at = (values: number[], share: number) =>
    values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!;
  return [
    {
      what: 'revoke to closed, as the device sees it, 5,000 connected, p99',
      unit: 'ms',
      ours: at(seen, 0.99),
      peer: null,
      target: 100,
    },
    {
      what: 'revoke to closed, as the receipt says, p99',
      unit: 'ms',
      ours: at(reported, 0.99),
      peer: null,
      target: 100,
    },
  ];
}

async function lookup(bench: Bench): Promise<Figure[]> {
  const dir = join(bench.dir, 'million');
  const { mkdirSync } = await import('node:fs');
  mkdirSync(dir);
  await Store.open(dir)[Symbol.asyncDispose]();
  const db = new Database(join(dir, 'registry.db'));
  db.pragma('synchronous = OFF');
  const count = 1_000_000;
  const print = (n: number) => n.toString(16).padStart(64, '0');
  const device = db.prepare(
    `INSERT INTO devices (id, fleet, state, attributes, created_ms, updated_ms) VALUES (?, 'plant', 'active', '{}', 0, 0)`,
  );
  const certificate = db.prepare(
    `INSERT INTO certificates (issuer, serial, fingerprint, device, fleet, state, key_hash, profile, plan, source,
       not_before_ms, not_after_ms, reserved_ms)
     VALUES ('issuing', ?, ?, ?, 'plant', 'issued', ?, 'device', '{}', 'system', 0, 9000000000000, 0)`,
  );
  db.transaction(() => {
    db.exec(`INSERT INTO fleets (id, role, created_ms) VALUES ('plant', 'device', 0)`);
    // Spread over the index, as fingerprints are.
    for (let n = 0; n < count; n++) {
      const spread = print((n * 2_654_435_761) % 4_294_967_296);
      device.run(`device-${n}`);
      certificate.run(`s${n}`, spread, `device-${n}`, spread);
    }
  })();
  db.close();
  // As if there were a commit between any two: what is remembered is not what is measured.
  let commits = 0;
  const directory = FileDirectory.open(join(dir, 'registry.db'), () => commits++);
  const times: number[] = [];
  const warmUp = 100_000;
  for (let n = 0; n < warmUp + 100_000; n++) {
    const spread = print((Math.floor(Math.random() * count) * 2_654_435_761) % 4_294_967_296) as Fingerprint;
    const before = performance.now();
    if (!directory.find(spread)) throw new Error('a device was not found');
    if (n >= warmUp) times.push((performance.now() - before) * 1000);
  }
  directory[Symbol.dispose]();
  times.sort((a, b) => a - b);
  return [
    {
      what: 'directory look-up among 1,000,000 devices, none remembered, p50',
      unit: 'µs',
      ours: times[50_000]!,
      peer: null,
      target: null,
    },
    {
      what: 'directory look-up among 1,000,000 devices, none remembered, p99',
      unit: 'µs',
      ours: times[99_000]!,
      peer: null,
      target: 50,
    },
  ];
}

export const cases = { connect, messages, memory, revoke, lookup, status, enrollment } as const;
