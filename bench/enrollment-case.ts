/**
 * Where an enrollment's time goes: a registry of its own under a CPU profile, enrolling over HTTP. A sample counts for the
 * first of key operations, ASN.1, SQL and HTTP that is found on its stack. Signatures with the CA's key are made in the
 * thread pool, which a profile of the main thread does not see: they are told apart by the system's accounting.
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCsr } from '#common/x509/csr.ts';
import { openRegistryApi } from '../cli/registry-api.ts';
import type { Bench, Figure } from './figure.ts';
import { cpuUs } from './process-cost.ts';
import { startFleetgate } from './servers.ts';

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}
interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const devices = 1_000;
const warmUp = 200;
const parallel = 16;

/** In this order, from the innermost frame outwards. */
const shares: readonly (readonly [string, RegExp])[] = [
  ['key operations', /node:(internal\/)?crypto/],
  ['ASN.1', /asn1|@peculiar|common\/x509|registry\/ca\/|authority\/(csr|signed-leaf|leaf-names|rsa-modulus)/],
  ['SQL', /better-sqlite3|kysely|registry\/store\//],
  [
    'HTTP and TLS',
    /fastify|find-my-way|ajv|fast-|light-my-request|node:(_http|_tls|net|internal\/(stream|http|js_stream|tls|net))|node:tls|registry\/api\//,
  ],
];

export async function enrollment(bench: Bench): Promise<Figure[]> {
  const dir = join(bench.dir, 'enrollment');
  mkdirSync(dir);
  const server = await startFleetgate(dir, { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${dir}` });
  const cpu = await enrollAll(server);
  await server.stop();
  const profile = largest(dir);
  const spent = sharesOf(profile);
  const busy = [...spent.values()].reduce((sum, us) => sum + us, 0);
  return [
    figure('enrollment: CPU of the process, all threads, under the profile', 'µs', cpu),
    ...[...spent].map(([what, us]) =>
      figure(`enrollment: share of the main thread, ${what}`, '%', (us * 100) / busy),
    ),
  ];
}

/** CPU microseconds an enrollment. */
async function enrollAll({
  registry,
  ca,
  adminToken,
  pid,
}: Awaited<ReturnType<typeof startFleetgate>>): Promise<number> {
  await using api = openRegistryApi({ url: registry, ca, token: adminToken }, parallel);
  await api.call('POST', '/v1/fleets', { id: 'bench' });
  const uses = devices + warmUp;
  const { token } = await api.call<{ token: string }>('POST', '/v1/fleets/bench/tokens', { uses, ttl: '1d' });
  const asks: { deviceId: string; csr: string }[] = [];
  for (let n = 0; n < uses; n++) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    asks.push({ deviceId: `bench-${n}`, csr: await makeCsr(privateKey, `bench-${n}`) });
  }
  let next = 0;
  const until = async (end: number) => {
    const work = async () => {
      while (next < end) await api.call('POST', '/v1/enroll', asks[next++], token);
    };
    await Promise.all(Array.from({ length: parallel }, work));
  };
  await until(warmUp);
  const before = cpuUs(pid);
  await until(uses);
  return (cpuUs(pid) - before) / devices;
}

/** The main thread's: the one with the most samples. */
function largest(dir: string): CpuProfile {
  const profiles = readdirSync(dir)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => JSON.parse(readFileSync(join(dir, name), 'utf8')) as CpuProfile)
    .filter(({ nodes }) => nodes.some(({ callFrame }) => callFrame.url.includes('authority/issuance')));
  const [first] = profiles.sort((a, b) => b.samples.length - a.samples.length);
  if (!first) throw new Error('the server wrote no profile');
  return first;
}

/** Microseconds by share; what is idle is left out. */
function sharesOf({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(
    nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  );
  const kindOf = new Map<number, string>();
  const judge = (id: number): string => {
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const { functionName, url } = byId.get(at)!.callFrame;
      if (functionName === '(garbage collector)') return 'garbage collection';
      if (functionName === '(idle)') return '';
      const found = shares.find(([, pattern]) => pattern.test(url));
      if (found) return found[0];
    }
    return 'everything else';
  };
  const spent = new Map<string, number>();
  samples.forEach((id, index) => {
    if (!kindOf.has(id)) kindOf.set(id, judge(id));
    const kind = kindOf.get(id)!;
    if (kind !== '') spent.set(kind, (spent.get(kind) ?? 0) + (timeDeltas[index] ?? 0));
  });
  return new Map([...spent].sort(([, a], [, b]) => b - a));
}

const figure = (what: string, unit: string, ours: number): Figure => ({
  what,
  unit,
  ours,
  peer: null,
  target: null,
});
