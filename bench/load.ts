/**
 * The load generator, in a process of its own: connections and messages, the same for every server under test. It is told
 * what to do over IPC and answers with what it saw.
 */
import { performance } from 'node:perf_hooks';
import tls from 'node:tls';
import { backoffMs } from '#common/backoff.ts';
import { systemClock } from '#common/clock.ts';
import { SimulatedMqttClient } from '../simulator/mqtt-client.ts';
import type { Identity } from '../simulator/plan.ts';

export interface Target {
  port: number;
  ca: string;
}

export type Order =
  | { readonly do: 'use'; readonly target: Target; readonly identities: Identity[] }
  /** Opens connections from `from` to `to` at a rate, and keeps them; by what they were given before when they resume. */
  | {
      readonly do: 'connect';
      readonly from: number;
      readonly to: number;
      readonly rate: number;
      readonly resume?: boolean;
    }
  /**
   * Every connection sends `burst` messages every `everyMs`; of QoS 1 when the last ones were acknowledged, and 0 is at
   * once then. Answers with how many were acknowledged, or sent.
   */
  | {
      readonly do: 'publish';
      readonly seconds: number;
      readonly burst: number;
      readonly everyMs: number;
      readonly qos?: 0 | 1;
    }
  /** All connections are lost at once, and come back as devices do: after a random pause, resuming, with back-off. */
  | { readonly do: 'storm'; readonly withinMs: number }
  /** Every connection subscribes to its commands, at a rate. */
  | { readonly do: 'listen'; readonly rate: number }
  /** How long each command took, whose payload says when it was sent; since the last time. Milliseconds. */
  | { readonly do: 'heard' }
  | { readonly do: 'watch' }
  | { readonly do: 'disconnect' };

const clock = systemClock;
const payload = 'x'.repeat(64);
let target: Target;
let identities: Identity[] = [];
let connections: Connection[] = [];
let latenciesMs: number[] = [];
const closedAt = new Map<string, number>();
/** The last TLS session of every device. */
const sessions = new Map<string, Buffer>();

/** One a device: making one costs more than a handshake that resumes. */
const contexts = new Map<string, tls.SecureContext>();

function contextOf({ id, key, certificate, ca }: Identity): tls.SecureContext {
  const known = contexts.get(id);
  if (known) return known;
  const context = tls.createSecureContext({ key, cert: certificate, ca: [ca, target.ca] });
  contexts.set(id, context);
  return context;
}

class Connection {
  readonly id: string;
  readonly identity: Identity;
  readonly ready: Promise<void>;
  client: SimulatedMqttClient;
  #topic: Buffer;
  #packetId = 0;
  #left = 0;
  #next = 0;
  acknowledged = 0;
  onRest: (() => void) | null = null;

  constructor(identity: Identity, resume = false) {
    this.id = identity.id;
    this.identity = identity;
    this.#topic = Buffer.from(`devices/${identity.id}/telemetry`);
    const context = contextOf(identity);
    let settle: (error?: Error) => void = () => {};
    this.ready = new Promise((resolve, reject) => {
      settle = (error) => (error ? reject(error) : resolve());
    });
    this.client = new SimulatedMqttClient({
      host: '127.0.0.1',
      port: target.port,
      context,
      clientId: identity.id,
      version: 4,
      keepAliveSeconds: 600,
      ...(resume && { session: sessions.get(identity.id) }),
      onSession: (session) => sessions.set(this.id, session),
      onSecure: () => {},
      onConnack: (code) => settle(code === 0 ? undefined : new Error(`CONNACK ${code}`)),
      onMessage: (body) => latenciesMs.push(wallMs() - Number(body)),
      onAcknowledged: () => this.#acknowledged(),
      onClosed: (why) => {
        closedAt.set(this.id, clock.now());
        settle(new Error(why));
      },
    });
  }

  burst(count: number, qos: 0 | 1): void {
    this.#left = count;
    if (qos === 0) this.acknowledged += count;
    for (let index = 0; index < count; index++) {
      this.#packetId = (this.#packetId % 65_535) + 1;
      this.client.publish(this.#topic, payload, qos, this.#packetId);
    }
  }

  /** Bursts until `untilMs`, each when the last is acknowledged and its time has come. */
  run(burst: number, everyMs: number, untilMs: number, qos: 0 | 1): Promise<void> {
    return new Promise((resolve) => {
      this.#next = clock.elapsed() + Math.random() * everyMs;
      const again = () => {
        const nowMs = clock.elapsed();
        if (nowMs >= untilMs) return resolve();
        if (nowMs >= this.#next) {
          this.#next += everyMs;
          if (this.#next < nowMs) this.#next = nowMs;
          this.burst(burst, qos);
          if (qos === 0) clock.after(everyMs, again);
        } else clock.after(this.#next - nowMs, again);
      };
      this.onRest = again;
      if (everyMs === 0) this.burst(burst, qos);
      else again();
    });
  }

  #acknowledged(): void {
    this.acknowledged += 1;
    this.#left -= 1;
    if (this.#left === 0) this.onRest?.();
  }
}

async function obey(order: Order): Promise<unknown> {
  switch (order.do) {
    case 'use':
      ({ target, identities } = order);
      contexts.clear();
      sessions.clear();
      return null;
    case 'connect': {
      const startMs = clock.elapsed();
      const fresh: Connection[] = [];
      for (let index = order.from; index < order.to; index++) {
        const dueMs = startMs + ((index - order.from) * 1000) / order.rate;
        while (clock.elapsed() < dueMs) await clock.sleep(Math.max(1, dueMs - clock.elapsed()));
        fresh.push(new Connection(identities[index]!, order.resume));
      }
      await Promise.all(fresh.map((connection) => connection.ready));
      connections = [...connections, ...fresh];
      return connections.length;
    }
    case 'publish': {
      const before = sum();
      const untilMs = clock.elapsed() + order.seconds * 1000;
      await Promise.all(
        connections.map((connection) => connection.run(order.burst, order.everyMs, untilMs, order.qos ?? 1)),
      );
      return sum() - before;
    }
    case 'storm':
      return storm(order.withinMs);
    case 'listen': {
      const startMs = clock.elapsed();
      for (const [index, { client, id }] of connections.entries()) {
        const dueMs = startMs + (index * 1000) / order.rate;
        if (clock.elapsed() < dueMs) await clock.sleep(Math.max(1, dueMs - clock.elapsed()));
        client.subscribe(`devices/${id}/commands/#`, 1);
      }
      return null;
    }
    case 'heard': {
      const heard = latenciesMs;
      latenciesMs = [];
      return heard;
    }
    case 'watch':
      return [...closedAt];
    case 'disconnect':
      for (const connection of connections) connection.client.destroy();
      connections = [];
      closedAt.clear();
      return null;
  }
}

/** How long until all are back, how many attempts it took, and the CPU that this process has spent. */
async function storm(withinMs: number): Promise<{ elapsedMs: number; attempts: number; cpuMs: number }> {
  const before = process.cpuUsage();
  const startMs = clock.elapsed();
  const lost = connections;
  for (const { client } of lost) client.destroy();
  let attempts = 0;
  connections = await Promise.all(
    lost.map(async ({ identity }) => {
      await clock.sleep(Math.random() * withinMs);
      for (let attempt = 1; ; attempt++) {
        attempts += 1;
        const connection = new Connection(identity, true);
        try {
          await connection.ready;
          return connection;
        } catch {
          await clock.sleep(backoffMs({ firstMs: 500, limitMs: 30_000 }, attempt));
        }
      }
    }),
  );
  const { user, system } = process.cpuUsage(before);
  return { elapsedMs: clock.elapsed() - startMs, attempts, cpuMs: (user + system) / 1000 };
}

/** Milliseconds since 1970 with fractions: the same in every process of this machine. */
const wallMs = (): number => performance.timeOrigin + performance.now();

const sum = (): number => connections.reduce((total, { acknowledged }) => total + acknowledged, 0);

process.on('message', ({ id, order }: { id: number; order: Order }) => {
  obey(order).then(
    (answer) => process.send!({ id, answer }),
    (error: Error) => process.send!({ id, error: error.message }),
  );
});
process.on('disconnect', () => process.exit(0));
