/**
 * The fleet of a soak, in a process of its own: devices that publish, come and go, and are lost all at once now and then.
 * It remembers which of its messages were acknowledged, a bit each. Told what to do over IPC.
 */
import tls from 'node:tls';
import { build, type Histogram } from 'hdr-histogram-js';
import { backoffMs } from '#common/backoff.ts';
import { systemClock } from '#common/clock.ts';
import { SimulatedMqttClient } from '../simulator/mqtt-client.ts';
import type { Identity } from '../simulator/plan.ts';

export type SoakOrder =
  | { readonly do: 'start'; readonly port: number; readonly ca: string; readonly pace: SoakPace }
  /** These come in and stay. */
  | { readonly do: 'join'; readonly identities: readonly Identity[]; readonly rate: number }
  /** Cut off for good; answers with who was still connected after `withinMs`. */
  | { readonly do: 'expect-gone'; readonly ids: readonly string[]; readonly withinMs: number }
  | { readonly do: 'storm' }
  /** Since the last time. */
  | { readonly do: 'report' }
  /** Publishes no more, waits for what is under way, and says what was acknowledged: the messages of each device as bits. */
  | { readonly do: 'stop' };

export interface SoakPace {
  /** Each device publishes so often, in milliseconds. */
  readonly everyMs: number;
  /** Devices that leave and come back, a second. */
  readonly churn: number;
}

export interface SoakReport {
  readonly connected: number;
  readonly acknowledged: number;
  readonly connects: number;
  readonly failed: number;
  /** Milliseconds. */
  readonly acknowledgement: { readonly p50: number; readonly p99: number };
  readonly connect: { readonly p50: number; readonly p99: number };
}

const clock = systemClock;
const devices = new Map<string, SoakDevice>();
let target: { port: number; ca: string };
let pace: SoakPace;
let running = true;
let acknowledged = 0;
let connects = 0;
let failed = 0;
const acknowledgementMs = fresh();
const connectMs = fresh();

function fresh(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 120_000,
    numberOfSignificantValueDigits: 3,
  });
}

class SoakDevice {
  readonly identity: Identity;
  readonly #context: tls.SecureContext;
  readonly #topic: Buffer;
  bits = new Uint8Array(64);
  #next = 0;
  #sentMs = 0;
  #session: Buffer | undefined;
  #client: SimulatedMqttClient | null = null;
  #isIn = false;
  gone = false;

  constructor(identity: Identity) {
    this.identity = identity;
    const { key, certificate, ca } = identity;
    this.#context = tls.createSecureContext({ key, cert: certificate, ca: [ca, target.ca] });
    this.#topic = Buffer.from(`devices/${identity.id}/telemetry`);
  }

  get isIn(): boolean {
    return this.#isIn;
  }

  /** Until it is in, with back-off. */
  async comeIn(): Promise<void> {
    for (let attempt = 1; !this.gone && running; attempt++) {
      if (await this.#connect()) return;
      failed += 1;
      await clock.sleep(backoffMs({ firstMs: 500, limitMs: 30_000 }, attempt));
    }
  }

  #connect(): Promise<boolean> {
    const startMs = clock.elapsed();
    return new Promise((resolve) => {
      this.#client = new SimulatedMqttClient({
        host: '127.0.0.1',
        port: target.port,
        context: this.#context,
        clientId: this.identity.id,
        version: 4,
        keepAliveSeconds: 300,
        session: this.#session,
        onSession: (session) => {
          this.#session = session;
        },
        onSecure: () => {},
        onConnack: (code) => {
          if (code !== 0) return resolve(false);
          this.#isIn = true;
          connects += 1;
          connectMs.recordValue(Math.round(clock.elapsed() - startMs));
          resolve(true);
        },
        onAcknowledged: (packetId) => this.#acknowledged(packetId),
        onClosed: () => {
          const wasIn = this.#isIn;
          this.#isIn = false;
          resolve(false);
          if (wasIn && !this.gone) void clock.sleep(Math.random() * 5_000).then(() => this.comeIn());
        },
      });
    });
  }

  publish(): void {
    if (!this.#isIn) return;
    this.#next += 1;
    this.#sentMs = clock.elapsed();
    const body = JSON.stringify({ n: this.#next, fill: 'x'.repeat(48) });
    this.#client?.publish(this.#topic, body, 1, ((this.#next - 1) % 65_535) + 1);
  }

  leave(): void {
    this.#client?.destroy();
  }

  /** One is in flight at most that counts: an older one is told apart by its packet id. */
  #acknowledged(packetId: number): void {
    const n = this.#next - ((((this.#next - packetId) % 65_535) + 65_535) % 65_535);
    if (n === this.#next) acknowledgementMs.recordValue(Math.round(clock.elapsed() - this.#sentMs));
    const at = n >> 3;
    if (at >= this.bits.length) {
      const longer = new Uint8Array(this.bits.length * 2);
      longer.set(this.bits);
      this.bits = longer;
    }
    this.bits[at]! |= 1 << (n & 7);
    acknowledged += 1;
  }
}

async function obey(order: SoakOrder): Promise<unknown> {
  switch (order.do) {
    case 'start':
      target = { port: order.port, ca: order.ca };
      pace = order.pace;
      void publishForever();
      void churnForever();
      return null;
    case 'join': {
      const startMs = clock.elapsed();
      const coming = order.identities.map(async (identity, index) => {
        await clock.sleep(Math.max(0, startMs + (index * 1000) / order.rate - clock.elapsed()));
        const device = new SoakDevice(identity);
        devices.set(identity.id, device);
        await device.comeIn();
      });
      await Promise.all(coming);
      return null;
    }
    case 'expect-gone': {
      const doomed = order.ids.map((id) => devices.get(id)!);
      for (const device of doomed) device.gone = true;
      await clock.sleep(order.withinMs);
      return doomed.filter(({ isIn }) => isIn).map(({ identity }) => identity.id);
    }
    case 'storm':
      for (const device of devices.values()) device.leave();
      return null;
    case 'report':
      return report();
    case 'stop':
      running = false;
      await clock.sleep(3_000);
      return [...devices].map(([id, { bits }]) => [id, Buffer.from(bits).toString('base64')]);
  }
}

/** A slice of the fleet every tick, so that its messages come evenly. */
async function publishForever(): Promise<void> {
  const tickMs = 50;
  let turn = 0;
  while (running) {
    const slices = Math.max(1, Math.round(pace.everyMs / tickMs));
    const all = [...devices.values()];
    for (let at = turn % slices; at < all.length; at += slices) all[at]!.publish();
    turn += 1;
    await clock.sleep(tickMs);
  }
}

async function churnForever(): Promise<void> {
  while (running) {
    await clock.sleep(1000 / pace.churn);
    const all = [...devices.values()];
    all[Math.floor(Math.random() * all.length)]?.leave();
  }
}

function report(): SoakReport {
  const of = (histogram: Histogram) => ({
    p50: histogram.getValueAtPercentile(50),
    p99: histogram.getValueAtPercentile(99),
  });
  const connected = [...devices.values()].filter(({ isIn }) => isIn).length;
  const [acknowledgement, connect] = [of(acknowledgementMs), of(connectMs)];
  const told: SoakReport = { connected, acknowledged, connects, failed, acknowledgement, connect };
  acknowledged = 0;
  connects = 0;
  failed = 0;
  acknowledgementMs.reset();
  connectMs.reset();
  return told;
}

process.on('message', ({ id, order }: { id: number; order: SoakOrder }) => {
  obey(order).then(
    (answer) => process.send!({ id, answer }),
    (error: Error) => process.send!({ id, error: error.message }),
  );
});
process.on('disconnect', () => process.exit(0));
