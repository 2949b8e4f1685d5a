/**
 * `npm run soak [-- --minutes 60 --devices 5000]`: a fleet that publishes, comes and goes, is lost at once every few minutes
 * and loses members to revocation. A line a minute; in the end whether memory and latency stayed flat, and the ledger.
 */
import { generateKeyPair } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs, promisify } from 'node:util';
import { systemClock } from '#common/clock.ts';
import { makeCsr } from '#common/x509/csr.ts';
import type { Identity } from '../simulator/plan.ts';
import { House } from '../test/harness/house.ts';
import { cpuUs, residentBytes } from './process-cost.ts';
import { Generator } from './servers.ts';
import type { SoakOrder, SoakReport } from './soak-fleet.ts';

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    devices: { type: 'string', default: '5000' },
    rate: { type: 'string', default: '500' },
    churn: { type: 'string', default: '5' },
    storm: { type: 'string', default: '10' },
    workers: { type: 'string', default: '1' },
  },
});
const [minutes, count, rate] = [Number(flags.minutes), Number(flags.devices), Number(flags.rate)];
const stormEvery = Number(flags.storm);
const clock = systemClock;
/** Devices that are revoked a minute, and as many that are enrolled in their place. */
const revokedAMinute = 2;

await using house = await House.start({
  args: ['--log-level', 'error', '--workers', flags.workers],
  env: { FLEETGATE_REGISTRY__ENROLL_RATE: '100000' },
});
const fleet = new Generator<SoakOrder>(new URL('./soak-fleet.ts', import.meta.url));
const ca = readFileSync(house.doors.ca, 'utf8');
const pid = house.child.pid!;
const pace = { everyMs: (count * 1000) / rate, churn: Number(flags.churn) };
process.stderr.write(`Enrolling ${count} devices.\n`);
let identities = await enroll(0, count);
let enrolled = count;
await fleet.order({ do: 'start', port: house.port('mqtts'), ca, pace });
await fleet.order({ do: 'join', identities, rate: 200 });

const row = (cells: readonly (string | number)[]) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
row([
  'minute',
  'connected',
  'acknowledged',
  'connects',
  'failed',
  'ack p50/p99 ms',
  'connect p50/p99 ms',
  'MB',
  'CPU s',
]);
row(Array(9).fill('---'));
const residents: number[] = [];
const latencies: number[] = [];
let acknowledged = 0;
let survivors = 0;
const before = await fleet.order<SoakReport>({ do: 'report' });
acknowledged += before.acknowledged;
for (let minute = 1; minute <= minutes; minute++) {
  const cpuBefore = cpuUs(pid);
  const endMs = clock.elapsed() + 60_000;
  if (minute % stormEvery === 0) await fleet.order({ do: 'storm' });
  const doomed = identities.slice(0, revokedAMinute).map(({ id }) => id);
  for (const id of doomed) await call('POST', `/v1/devices/${id}/revoke`, {});
  survivors += (await fleet.order<string[]>({ do: 'expect-gone', ids: doomed, withinMs: 2_000 })).length;
  const fresh = await enroll(enrolled, revokedAMinute);
  enrolled += revokedAMinute;
  identities = [...identities.slice(revokedAMinute), ...fresh];
  await fleet.order({ do: 'join', identities: fresh, rate: 10 });
  await clock.sleep(Math.max(0, endMs - clock.elapsed()));
  const told = await fleet.order<SoakReport>({ do: 'report' });
  acknowledged += told.acknowledged;
  const residentMb = residentBytes(pid) / 1e6;
  residents.push(residentMb);
  if (minute % stormEvery !== 0) latencies.push(told.acknowledgement.p99);
  const pair = ({ p50, p99 }: { p50: number; p99: number }) => `${p50} / ${p99}`;
  const cpuSeconds = ((cpuUs(pid) - cpuBefore) / 1e6).toFixed(1);
  row([
    minute,
    told.connected,
    told.acknowledged,
    told.connects,
    told.failed,
    pair(told.acknowledgement),
    pair(told.connect),
    residentMb.toFixed(0),
    cpuSeconds,
  ]);
}

const told = await fleet.order<[string, string][]>({ do: 'stop' });
await clock.sleep(3_000);
const metrics = await (await fetch(`${house.doors.ops}/metrics`)).text();
const metric = (name: string) =>
  [...metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))].reduce(
    (sum, [, value]) => sum + Number(value),
    0,
  );
const { delivered, lost, doubled } = await compare(join(house.dir, 'data', 'telemetry'), new Map(told));
const third = Math.max(1, Math.floor(residents.length / 3));
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const line = (what: string, value: string | number) => process.stdout.write(`${what.padEnd(46)}${value}\n`);
line('acknowledged', acknowledged);
line('acknowledged and not delivered', lost);
line('delivered, each once', delivered);
line('delivered more than once', doubled);
line('accepted, by the metrics', metric('fleetgate_messages_accepted_total'));
line(
  'delivered + pending + dead, by the metrics',
  metric('fleetgate_messages_delivered_total') +
    metric('fleetgate_messages_pending') +
    metric('fleetgate_messages_dead_lettered_total'),
);
line('revoked and still connected after 2 s', survivors);
line(
  'memory, first and last third, MB',
  `${mean(residents.slice(0, third)).toFixed(0)} → ${mean(residents.slice(-third)).toFixed(0)}`,
);
line(
  'ack p99 without storms, first and last third, ms',
  `${mean(latencies.slice(0, third)).toFixed(1)} → ${mean(latencies.slice(-third)).toFixed(1)}`,
);
fleet.stop();

/** Once more when the connection that was kept has just been closed by the other side, as happens between two minutes. */
async function call(...request: Parameters<typeof house.api.call>): ReturnType<typeof house.api.call> {
  try {
    return await house.api.call(...request);
  } catch {
    return house.api.call(...request);
  }
}

/** So many devices from a number on, eight at a time. */
async function enroll(from: number, many: number): Promise<Identity[]> {
  await call('POST', '/v1/fleets', { id: 'soak' });
  const { body: token } = await call('POST', '/v1/fleets/soak/tokens', { uses: many, ttl: '1d' });
  const identities: Identity[] = [];
  let next = 0;
  const work = async () => {
    while (next < many) {
      const at = next++;
      const id = `soak-${from + at}`;
      const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
      const request = { deviceId: id, csr: await makeCsr(privateKey, id) };
      const authorization = `Bearer ${token.token}`;
      const { status, body } = await call('POST', '/v1/enroll', request, { authorization });
      if (status !== 201) throw new Error(`${id} was not enrolled: ${JSON.stringify(body)}`);
      const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      identities[at] = { id, key, certificate: body.certificate + body.chain, ca: body.ca };
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  return identities;
}

/** What was acknowledged against what is in the files of the backend. */
async function compare(
  folder: string,
  bits: ReadonlyMap<string, string>,
): Promise<{ delivered: number; lost: number; doubled: number }> {
  const seen = new Map<string, Uint8Array>();
  let [delivered, doubled] = [0, 0];
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.ndjson'))) {
    for await (const text of createInterface({ input: createReadStream(join(folder, name)) })) {
      const { device, data } = JSON.parse(text) as { device: string; data: { n: number } };
      let there = seen.get(device) ?? new Uint8Array(64);
      const at = data.n >> 3;
      if (at >= there.length) {
        const longer = new Uint8Array(Math.max(there.length * 2, at + 1));
        longer.set(there);
        there = longer;
      }
      seen.set(device, there);
      if (there[at]! & (1 << (data.n & 7))) doubled += 1;
      else delivered += 1;
      there[at]! |= 1 << (data.n & 7);
    }
  }
  let lost = 0;
  for (const [device, text] of bits) {
    const acknowledgedBits = Buffer.from(text, 'base64');
    const there = seen.get(device);
    for (const [at, byte] of acknowledgedBits.entries()) {
      for (let missing = byte & ~(there?.[at] ?? 0); missing !== 0; missing &= missing - 1) lost += 1;
    }
  }
  return { delivered, lost, doubled };
}
