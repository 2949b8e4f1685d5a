/** What is measured: each case a function of a bench at hand, giving figures with the target they are held against. */

import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import Database from 'better-sqlite3';
import { systemClock } from '#common/clock.ts';
import type { Fingerprint } from '#common/identity.ts';
import { openRegistryApi } from '../cli/registry-api.ts';
import { FileDirectory } from '../registry/store/directory.ts';
import { Store } from '../registry/store/store.ts';
import { commands } from './command-case.ts';
import { use } from './compare.ts';
import { connect, resumption, storm } from './connect-case.ts';
import { enrollment } from './enrollment-case.ts';
import type { Bench, Figure } from './figure.ts';
import { hostile } from './hostile-case.ts';
import { memory } from './memory-case.ts';
import { messages } from './message-case.ts';
import { status } from './status-case.ts';
import { workerProcesses } from './workers-case.ts';

const clock = systemClock;

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

export const cases = {
  connect,
  resumption,
  messages,
  memory,
  storm,
  lookup,
  status,
  hostile,
  workers: workerProcesses,
  enrollment,
  commands,
  // Last: who is revoked here stays so.
  revoke,
} as const;
