/** `npm run bench [-- case …]`: Fleetgate against mosquitto in the same run; ratios are what counts. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { systemClock, timestamp } from '#common/clock.ts';
import { makeCsr } from '#common/x509/csr.ts';
import { openRegistryApi } from '../cli/registry-api.ts';
import type { Identity } from '../simulator/plan.ts';
import { cases } from './cases.ts';
import type { Bench, Figure } from './figure.ts';
import { cpuUs } from './process-cost.ts';
import { type FleetgateServer, Generator, startFleetgate, startMosquitto } from './servers.ts';

const asked = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const keep = process.argv.includes('--keep');
const wanted = Object.keys(cases).filter((name) => asked.length === 0 || asked.includes(name));
const fleets: Record<string, number> = { memory: 10_000, storm: 10_000, revoke: 5_000, commands: 5_000 };
/** Fewer, to try a case out; its figures say less then. */
const mostDevices = Number(process.env.BENCH_DEVICES ?? Number.POSITIVE_INFINITY);
const fleetSize = Math.min(mostDevices, Math.max(...wanted.map((name) => fleets[name] ?? 1_200)));

/** The fleet, enrolled through the API; the keys and CSRs are made before, so that this measures the registry. */
async function enrollFleet({
  registry,
  ca,
  adminToken,
  pid,
}: FleetgateServer): Promise<{ identities: Identity[]; figures: Figure[] }> {
  await using api = openRegistryApi({ url: registry, ca, token: adminToken }, 16);
  await api.call('POST', '/v1/fleets', { id: 'bench' });
  const { token } = await api.call<{ token: string }>('POST', '/v1/fleets/bench/tokens', {
    uses: fleetSize,
    ttl: '1d',
  });
  const asks: { id: string; key: string; csr: string }[] = [];
  for (let n = 0; n < fleetSize; n++) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const id = `bench-${n}`;
    asks.push({
      id,
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      csr: await makeCsr(privateKey, id),
    });
  }
  const identities: Identity[] = new Array(fleetSize);
  let next = 0;
  const [cpuBefore, before] = [cpuUs(pid), performance.now()];
  const work = async () => {
    while (next < fleetSize) {
      const index = next++;
      const { id, key, csr } = asks[index]!;
      const {
        certificate,
        chain,
        ca: anchors,
      } = await api.call<{ certificate: string; chain: string; ca: string }>(
        'POST',
        '/v1/enroll',
        { deviceId: id, csr },
        token,
      );
      identities[index] = { id, key, certificate: certificate + chain, ca: anchors };
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
  const seconds = (performance.now() - before) / 1000;
  const cpuSeconds = (cpuUs(pid) - cpuBefore) / 1e6;
  return {
    identities,
    figures: [
      {
        what: 'enrollments a second over HTTP, CSR in to certificate out, durable',
        unit: '/s',
        ours: fleetSize / seconds,
        peer: null,
        target: null,
      },
      {
        what: 'enrollments a second and core',
        unit: '/s',
        ours: fleetSize / cpuSeconds,
        peer: null,
        target: null,
      },
    ],
  };
}

function line({ what, unit, ours, peer, target }: Figure): string {
  const round = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
  const compared = peer === null ? ours : ours / peer;
  const verdict = target === null ? '' : compared <= target ? 'met' : 'missed';
  const ratio = peer === null ? '' : `${(ours / peer).toFixed(2)} ×`;
  const aim = target === null ? '' : peer === null ? `≤ ${target} ${unit}` : `≤ ${target} ×`;
  return `| ${what} | ${round(ours)} ${unit} | ${peer === null ? '' : `${round(peer)} ${unit}`} | ${ratio} | ${aim} | ${verdict} |`;
}

const dir = mkdtempSync(join(tmpdir(), 'fleetgate-bench-'));
const generator = new Generator();
/** The fleet of a storm has one address here, and thousands elsewhere: it is not what is to hold it up. */
const limits = ['RATE', 'RATE_PER_ADDRESS', 'RATE_PER_NETWORK'].map(
  (limit) => [`FLEETGATE_LIMITS__CONNECT_${limit}`, '100000'] as const,
);
const fleetgate = await startFleetgate(dir, wanted.includes('storm') ? Object.fromEntries(limits) : {});
const mosquitto = await startMosquitto(dir, fleetgate.ca);
const lines: string[] = [];
const say = (text: string) => {
  lines.push(text);
  process.stdout.write(`${text}\n`);
};

try {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  say(
    `\n## ${timestamp(systemClock.now()).slice(0, 10)}, commit ${commit}, ${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}\n`,
  );
  say('| what | Fleetgate | mosquitto | ratio | target | |');
  say('| --- | --- | --- | --- | --- | --- |');
  const { identities, figures } = await enrollFleet(fleetgate);
  for (const figure of figures) say(line(figure));
  const bench: Bench = { dir, fleetgate, mosquitto, generator, identities };
  for (const name of wanted)
    for (const figure of await cases[name as keyof typeof cases](bench)) say(line(figure));
  if (keep) appendFileSync(fileURLToPath(new URL('./RESULTS.md', import.meta.url)), `${lines.join('\n')}\n`);
} finally {
  generator.stop();
  await fleetgate.stop();
  await mosquitto.stop();
  rmSync(dir, { recursive: true, force: true });
}
