/** Starts a hostile crowd against a house, and measures what honest devices get meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { systemClock } from '#common/clock.ts';
import type { DeviceIdentity } from './api-client.ts';
import { connectDevice, type DeviceKeys } from './mqtt-device.ts';

export const attackNames = [
  'silent sockets',
  'a ClientHello byte by byte',
  'half-open handshakes',
  'a CONNECT byte by byte',
  'a PUBLISH half sent',
  'HTTP headers byte by byte',
  'frozen readers',
  'certificates that are refused',
  'noise instead of TLS',
] as const;
export type Attack = (typeof attackNames)[number];

type Credentials = Pick<DeviceIdentity, 'key' | 'certificate'>;

export interface Order {
  readonly attack: Attack;
  readonly mqtts: number;
  readonly https: number;
  readonly ca: string;
  /** Connections at once. */
  readonly count: number;
  /** A device that is let in, several times, and may subscribe to telemetry. */
  readonly device: Credentials & { readonly id: string };
  /** A certificate that nobody knows. */
  readonly stranger: Credentials;
}

const program = fileURLToPath(new URL('./hostile-program.ts', import.meta.url));

export class HostileCrowd implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves when it attacks. */
  static async start(order: Order): Promise<HostileCrowd> {
    const child = spawn(process.execPath, [program, JSON.stringify(order)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout!.once('data', () => resolve());
      child.once('exit', () => reject(new Error('the hostile crowd ended before it began')));
    });
    return new HostileCrowd(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.stdin!.end();
    await ended;
  }
}

export interface Service {
  /** From the first byte to CONNACK, and from PUBLISH to PUBACK; milliseconds, sorted. */
  readonly connectMs: number[];
  readonly publishMs: number[];
  /** What was not served, in words. */
  readonly failures: string[];
}

const publishesAConnection = 8;
const betweenMs = 15;

/** Devices that connect, publish with QoS 1, say goodbye and come again, for so long. */
export async function honestService(
  devices: readonly DeviceKeys[],
  port: number,
  forMs: number,
): Promise<Service> {
  const service: Service = { connectMs: [], publishMs: [], failures: [] };
  const until = systemClock.elapsed() + forMs;
  const live = async (device: DeviceKeys) => {
    while (systemClock.elapsed() < until) {
      try {
        const beginMs = systemClock.elapsed();
        const { client } = await connectDevice(device, port, { protocolVersion: 5, connectTimeout: 20_000 });
        service.connectMs.push(systemClock.elapsed() - beginMs);
        for (let n = 0; n < publishesAConnection; n++) {
          const sentMs = systemClock.elapsed();
          await client.publishAsync(`devices/${device.id}/telemetry`, '{"t":1.5}', { qos: 1 });
          service.publishMs.push(systemClock.elapsed() - sentMs);
          await systemClock.sleep(betweenMs);
        }
        await client.endAsync();
      } catch (thrown) {
        service.failures.push(`${device.id}: ${(thrown as Error).message}`);
      }
    }
  };
  await Promise.all(devices.map(live));
  const ascending = (a: number, b: number) => a - b;
  service.connectMs.sort(ascending);
  service.publishMs.sort(ascending);
  return service;
}

export const p99 = (sorted: readonly number[]): number =>
  sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN;

export const residentKb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
