/**
 * The load generator, in a process of its own: connections and messages, the same for every server under test. It is told
 * what to do over IPC and answers with what it saw.
 */
import tls from 'node:tls';
import { systemClock } from '#common/clock.ts';
import { SimulatedMqttClient } from '../simulator/mqtt-client.ts';
import type { Identity } from '../simulator/plan.ts';

export interface Target {
  port: number;
  ca: string;
}

export type Order =
  | { readonly do: 'use'; readonly target: Target; readonly identities: Identity[] }
  /** Opens connections from `from` to `to` at a rate, and keeps them. */
  | { readonly do: 'connect'; readonly from: number; readonly to: number; readonly rate: number }
  /** Every connection sends `burst` messages every `everyMs`, when the last ones were acknowledged; 0 is at once. */
  | { readonly do: 'publish'; readonly seconds: number; readonly burst: number; readonly everyMs: number }
  | { readonly do: 'watch' }
  | { readonly do: 'disconnect' };

const clock = systemClock;
const payload = 'x'.repeat(64);
let target: Target;
let identities: Identity[] = [];
let connections: Connection[] = [];
const closedAt = new Map<string, number>();

class Connection {
  readonly id: string;
  readonly ready: Promise<void>;
  client: SimulatedMqttClient;
  #topic: Buffer;
  #packetId = 0;
  #left = 0;
  #next = 0;
  acknowledged = 0;
  onRest: (() => void) | null = null;

  constructor(identity: Identity) {
    this.id = identity.id;
    this.#topic = Buffer.from(`devices/${identity.id}/telemetry`);
    const context = tls.createSecureContext({
      key: identity.key,
      cert: identity.certificate,
      ca: [identity.ca, target.ca],
    });
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
      onSecure: () => {},
      onConnack: (code) => settle(code === 0 ? undefined : new Error(`CONNACK ${code}`)),
      onAcknowledged: () => this.#acknowledged(),
      onClosed: (why) => {
        closedAt.set(this.id, clock.now());
        settle(new Error(why));
      },
    });
  }

  burst(count: number): void {
    this.#left = count;
    for (let index = 0; index < count; index++) {
      this.#packetId = (this.#packetId % 65_535) + 1;
      this.client.publish(this.#topic, payload, 1, this.#packetId);
    }
  }

  /** Bursts until `untilMs`, each when the last is acknowledged and its time has come. */
  run(burst: number, everyMs: number, untilMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#next = clock.elapsed() + Math.random() * everyMs;
      const again = () => {
        const nowMs = clock.elapsed();
        if (nowMs >= untilMs) return resolve();
        if (nowMs >= this.#next) {
          this.#next += everyMs;
          if (this.#next < nowMs) this.#next = nowMs;
          this.burst(burst);
        } else clock.after(this.#next - nowMs, again);
      };
      this.onRest = again;
      if (everyMs === 0) this.burst(burst);
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
      return null;
    case 'connect': {
      const startMs = clock.elapsed();
      const fresh: Connection[] = [];
      for (let index = order.from; index < order.to; index++) {
        const dueMs = startMs + ((index - order.from) * 1000) / order.rate;
        while (clock.elapsed() < dueMs) await clock.sleep(Math.max(1, dueMs - clock.elapsed()));
        fresh.push(new Connection(identities[index]!));
      }
      await Promise.all(fresh.map((connection) => connection.ready));
      connections = [...connections, ...fresh];
      return connections.length;
    }
    case 'publish': {
      const before = sum();
      const untilMs = clock.elapsed() + order.seconds * 1000;
      await Promise.all(connections.map((connection) => connection.run(order.burst, order.everyMs, untilMs)));
      return sum() - before;
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

const sum = (): number => connections.reduce((total, { acknowledged }) => total + acknowledged, 0);

process.on('message', ({ id, order }: { id: number; order: Order }) => {
  obey(order).then(
    (answer) => process.send!({ id, answer }),
    (error: Error) => process.send!({ id, error: error.message }),
  );
});
process.on('disconnect', () => process.exit(0));
