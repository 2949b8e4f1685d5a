/**
 * `node bench/renewal-case.ts [devices] [window seconds]`: a fleet renews in one window at twice the rate that its forecast
 * says, while others connect. Prints whether anybody was locked out, and what a CONNECT took beside it and in the quiet.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { generateKeyPair } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { systemClock } from '#common/clock.ts';
import { makeCsr } from '#common/x509/csr.ts';
import { House } from '../test/harness/house.ts';
import { connectBytes } from '../test/harness/raw-mqtt.ts';
import { cpuUs } from './process-cost.ts';
import type { FleetOrder, FleetReport, Renewing } from './renewal-fleet.ts';

export interface RenewalCase {
  readonly devices: number;
  /** The window over which the forecast spreads them; at twice its rate they are done in half of it. */
  readonly windowSeconds: number;
  /** CONNECTs a second that are measured, and for how long in the quiet. */
  readonly connectRate: number;
  readonly quietSeconds: number;
}

export interface Latency {
  readonly count: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
}

export interface RenewalFigures {
  readonly forecastRate: number;
  readonly fleet: FleetReport;
  /** CPU of the server for a device: its CONNECTs with the old and the new certificate, and the renewal; milliseconds. */
  readonly cpuMs: number;
  /** Milliseconds from the SYN to the CONNACK. */
  readonly quiet: Latency;
  readonly beside: Latency;
}

const clock = systemClock;
const parallel = 16;
const probes = 100;
const keyPair = promisify(generateKeyPair);

export async function runRenewalCase(order: RenewalCase): Promise<RenewalFigures> {
  const dir = mkdtempSync(join(tmpdir(), 'renewal-case-'));
  try {
    const [devices, others] = await enrollAll(dir, order.devices);
    await using house = await House.start({ dir });
    const port = house.port('mqtts');
    const quiet = await measure(others, port, order.connectRate, clock.sleep(order.quietSeconds * 1000));
    const forecastRate = order.devices / order.windowSeconds;
    const child = fork(fileURLToPath(new URL('./renewal-fleet.ts', import.meta.url)), {
      serialization: 'advanced',
    });
    const pid = house.child.pid!;
    const beforeUs = cpuUs(pid);
    const report = renewAll(child, { port, devices, rate: 2 * forecastRate });
    const beside = await measure(others, port, order.connectRate, report);
    // The measured CONNECTs are among it.
    const cpuMs = (cpuUs(pid) - beforeUs) / 1000 / order.devices;
    return { forecastRate, fleet: await report, cpuMs, quiet, beside };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function renewAll(child: ChildProcess, order: FleetOrder): Promise<FleetReport> {
  child.send(order);
  const [report] = (await once(child, 'message')) as [FleetReport];
  await once(child, 'exit');
  return report;
}

/** Enrolls the fleet and those who only connect; then every certificate of the fleet is due. */
async function enrollAll(dir: string, count: number): Promise<[Renewing[], Renewing[]]> {
  const devices: Renewing[] = [];
  {
    await using house = await House.start({ dir });
    await house.api.call('POST', '/v1/fleets', { id: 'bench' });
    const uses = count + probes;
    const { body } = await house.api.call('POST', '/v1/fleets/bench/tokens', { uses, ttl: '1d' });
    const authorization = `Bearer ${body.token}`;
    let next = 0;
    const work = async () => {
      while (next < uses) {
        const index = next++;
        devices[index] = await enroll(house, `bench-${index}`, authorization);
      }
    };
    await Promise.all(Array.from({ length: parallel }, work));
  }
  const db = new Database(join(dir, 'data', 'registry.db'));
  db.exec('UPDATE certificates SET renew_after_ms = 0');
  db.close();
  return [devices.slice(0, count), devices.slice(count)];
}

async function enroll(house: House, id: string, authorization: string): Promise<Renewing> {
  const [old, next] = await Promise.all([1, 2].map(() => keyPair('ec', { namedCurve: 'P-256' })));
  const pem = ({ privateKey }: NonNullable<typeof old>) =>
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const request = { deviceId: id, csr: await makeCsr(old!.privateKey, id) };
  const { status, body } = await house.api.call('POST', '/v1/enroll', request, { authorization });
  if (status !== 201) throw new Error(`${id} was not enrolled: ${JSON.stringify(body)}`);
  const certificate = body.certificate + body.chain;
  const csr = await makeCsr(next!.privateKey, id);
  return { id, key: pem(old!), certificate, ca: body.ca, nextKey: pem(next!), csr };
}

/** CONNECTs at a rate, one device after the other, until `until` is settled. */
async function measure(
  devices: readonly Renewing[],
  port: number,
  rate: number,
  until: Promise<unknown>,
): Promise<Latency> {
  let over = false;
  const end = until.finally(() => {
    over = true;
  });
  const tookMs: number[] = [];
  let failed = 0;
  const begun: Promise<void>[] = [];
  const sinceMs = clock.elapsed();
  for (let n = 0; !over; n++) {
    const take = connectOnce(devices[n % devices.length]!, port).then(
      (ms) => void tookMs.push(ms),
      () => {
        failed += 1;
      },
    );
    begun.push(take);
    await clock.sleep(Math.max(0, sinceMs + ((n + 1) * 1000) / rate - clock.elapsed()));
  }
  await Promise.all([...begun, end]);
  tookMs.sort((a, b) => a - b);
  const at = (share: number) =>
    tookMs[Math.min(tookMs.length - 1, Math.floor(tookMs.length * share))] ?? Number.NaN;
  return { count: tookMs.length, failed, p50: at(0.5), p99: at(0.99) };
}

function connectOnce(device: Renewing, port: number): Promise<number> {
  const { key, certificate: cert, ca } = device;
  const sinceMs = clock.elapsed();
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, key, cert, ca });
    socket.once('secureConnect', () => socket.write(connectBytes(device.id, 5)));
    socket.once('data', () => {
      resolve(clock.elapsed() - sinceMs);
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed before CONNACK')));
  });
}

const round = (value: number): number => Math.round(value * 10) / 10;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [devices = 10_000, windowSeconds = 100] = process.argv.slice(2).map(Number);
  const figures = await runRenewalCase({ devices, windowSeconds, connectRate: 20, quietSeconds: 30 });
  const { forecastRate, fleet, cpuMs, quiet, beside } = figures;
  const row = (what: string, value: unknown) => console.log(`${what.padEnd(34)} ${value}`);
  row('devices', devices);
  row('forecast, renewals a second', round(forecastRate));
  row('renewed, a second', round(fleet.renewed / fleet.seconds));
  row('locked out', fleet.lockedOut);
  row('attempts', fleet.attempts);
  row('failures', JSON.stringify(fleet.failures));
  row('CPU of the server a device, ms', round(cpuMs));
  row('CONNECT quiet, p50 / p99 ms', `${round(quiet.p50)} / ${round(quiet.p99)} of ${quiet.count}`);
  row('CONNECT beside it, p50 / p99 ms', `${round(beside.p50)} / ${round(beside.p99)} of ${beside.count}`);
  row('p99 ratio', round(beside.p99 / quiet.p99));
  row('CONNECTs that failed', quiet.failed + beside.failed);
  process.exitCode = fleet.lockedOut === 0 && beside.p99 < 3 * quiet.p99 ? 0 : 1;
}
