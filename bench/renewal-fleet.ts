/**
 * A fleet that renews, in a process of its own: each device connects with its old certificate, sends its CSR over the session,
 * comes back with the new one, and does not give up before its patience ends. Told what to do over IPC.
 */
import { systemClock } from '#common/clock.ts';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { RawMqtt } from '../test/harness/raw-mqtt.ts';

/** A device with its old certificate and the request for its next one. PEM. */
export interface Renewing {
  readonly id: string;
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;
  readonly nextKey: string;
  readonly csr: string;
}

export interface FleetOrder {
  readonly port: number;
  readonly devices: readonly Renewing[];
  /** Devices that begin a second. */
  readonly rate: number;
}

export interface FleetReport {
  readonly renewed: number;
  /** Could neither renew nor come in when their patience ended. */
  readonly lockedOut: number;
  readonly attempts: number;
  readonly seconds: number;
  /** Why attempts failed, by word, with counts. */
  readonly failures: Readonly<Record<string, number>>;
}

const clock = systemClock;
const patience = 20;
const firstPauseMs = 500;

let attempts = 0;
const failures: Record<string, number> = {};

async function renewOnce(device: Renewing, port: number): Promise<void> {
  using session = await RawMqtt.connected(device, port, 5);
  const own = `devices/${device.id}/certificates/renew`;
  const subscriptions = ['accepted', 'rejected'].map((end) => ({ topic: `${own}/${end}`, qos: 0 as const }));
  session.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions });
  await session.next('suback');
  session.sendPacket({ cmd: 'publish', topic: own, payload: device.csr, qos: 0, dup: false, retain: false });
  const { topic, payload } = await session.next('publish');
  const answer = JSON.parse(String(payload)) as IssuedCertificate & { code?: string };
  if (topic !== `${own}/accepted`) throw new Error(answer.code);
  const next = { ...device, key: device.nextKey, certificate: answer.certificate + answer.chain };
  using again = await RawMqtt.connected(next, port, 5);
  again.sendPacket({ cmd: 'disconnect' });
}

/** Whether it got its new certificate and came in with it. */
async function renew(device: Renewing, port: number): Promise<boolean> {
  for (let attempt = 1; attempt <= patience; attempt++) {
    attempts += 1;
    try {
      await renewOnce(device, port);
      return true;
    } catch (error) {
      const { message } = error as Error;
      failures[message] = (failures[message] ?? 0) + 1;
      await clock.sleep(firstPauseMs * Math.min(attempt, 8) * (0.5 + Math.random()));
    }
  }
  return false;
}

async function run({ devices, port, rate }: FleetOrder): Promise<void> {
  const begunMs = clock.elapsed();
  const done: Promise<boolean>[] = [];
  for (const [index, device] of devices.entries()) {
    const waitMs = begunMs + (index * 1000) / rate - clock.elapsed();
    if (waitMs > 1) await clock.sleep(waitMs);
    done.push(renew(device, port));
  }
  const renewed = (await Promise.all(done)).filter(Boolean).length;
  const seconds = (clock.elapsed() - begunMs) / 1000;
  const report: FleetReport = { renewed, lockedOut: devices.length - renewed, attempts, seconds, failures };
  process.send?.(report, () => process.disconnect?.());
}

process.once('message', (order: FleetOrder) => void run(order));
