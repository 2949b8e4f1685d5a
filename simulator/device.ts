/** One simulated device: connects at its time, publishes when told, comes back after a pause when it is cut off. */
import tls from 'node:tls';
import { Client } from 'undici';
import type { Clock } from '#common/clock.ts';
import type { Measurements } from './measurements.ts';
import { SimulatedMqttClient } from './mqtt-client.ts';
import { type Identity, payloadOf, type SimulationPlan } from './plan.ts';

export interface DeviceParts {
  plan: SimulationPlan;
  identity: Identity;
  protocol: 'mqtt' | 'mqtt5' | 'https';
  measurements: Measurements;
  clock: Clock;
  random: () => number;
}

const keepAliveSeconds = 60;
const pauseMs = { least: 500, most: 2_500 };
const maxPacketId = 65_535;

export class Device {
  readonly #parts: DeviceParts;
  readonly #topic: Buffer;
  #context: tls.SecureContext | null = null;
  #mqtt: SimulatedMqttClient | null = null;
  #http: Client | null = null;
  #open = false;
  #ended = false;
  #next = 0;
  #packetId = 0;
  /** Sent and not acknowledged: by packet id, the message's number and when it was to be sent. */
  readonly #waiting = new Map<number, { n: number; intendedMs: number }>();
  /** Numbers of acknowledged messages. */
  readonly acknowledged: number[] = [];

  constructor(parts: DeviceParts) {
    this.#parts = parts;
    this.#topic = Buffer.from(`devices/${parts.identity.id}/telemetry/simulated`);
  }

  get id(): string {
    return this.#parts.identity.id;
  }

  /** Begins to connect; `intendedMs` is when it was to begin. */
  connect(intendedMs: number): void {
    const { protocol, measurements, clock, plan, identity } = this.#parts;
    if (this.#ended) return;
    if (protocol === 'https') return this.#connectHttp(intendedMs);
    const version = (plan.tlsVersion ?? undefined) as tls.SecureVersion | undefined;
    const { key, certificate: cert, ca } = identity;
    this.#context ??= tls.createSecureContext({ key, cert, ca, minVersion: version, maxVersion: version });
    let secureMs = 0;
    this.#mqtt = new SimulatedMqttClient({
      host: plan.host,
      port: plan.mqttsPort,
      context: this.#context,
      clientId: identity.id,
      version: protocol === 'mqtt5' ? 5 : 4,
      keepAliveSeconds,
      onSecure: () => {
        secureMs = clock.elapsed();
        measurements.time('tls', secureMs - intendedMs);
      },
      onConnack: (code) => {
        if (code !== 0) return measurements.count('refused');
        const nowMs = clock.elapsed();
        measurements.time('connack', nowMs - secureMs);
        measurements.time('connect', nowMs - intendedMs);
        measurements.count('connected');
        measurements.open += 1;
        this.#open = true;
      },
      onAcknowledged: (packetId) => this.#acknowledge(packetId),
      onClosed: (why) => this.#closed(why),
    });
  }

  /** Sends the next message, which was due at `intendedMs`. */
  publish(intendedMs: number): void {
    const { measurements, clock, plan } = this.#parts;
    const n = this.#next++;
    if (!this.#open) return measurements.count('missed');
    measurements.time('lateness', clock.elapsed() - intendedMs);
    measurements.count('sent');
    const payload = payloadOf(plan, this.id, n);
    if (this.#http) return void this.#post(payload, n, intendedMs);
    if (plan.qos > 0) {
      this.#packetId = (this.#packetId % maxPacketId) + 1;
      this.#waiting.set(this.#packetId, { n, intendedMs });
    }
    this.#mqtt?.publish(this.#topic, payload, plan.qos, this.#packetId);
  }

  ping(): void {
    if (this.#open) this.#mqtt?.ping();
  }

  /** Messages that were sent and not acknowledged. */
  get unanswered(): number {
    return this.#waiting.size;
  }

  end(): void {
    this.#ended = true;
    this.#mqtt?.end();
    void this.#http?.destroy();
  }

  destroy(): void {
    this.#ended = true;
    this.#mqtt?.destroy();
    void this.#http?.destroy();
  }

  #connectHttp(intendedMs: number): void {
    const { plan, identity, measurements, clock } = this.#parts;
    const { key, certificate: cert, ca } = identity;
    this.#http = new Client(`https://${plan.host}:${plan.httpsPort}`, {
      connect: { key, cert, ca, servername: 'localhost', checkServerIdentity: () => undefined },
      pipelining: 1,
    });
    this.#http.on('disconnect', () => {
      measurements.open -= 1;
      if (!this.#ended) measurements.count('dropped');
    });
    // A first request opens the connection and says whether the device is let in.
    this.#http
      .request({ method: 'GET', path: '/v1/me' })
      .then(async ({ statusCode, body }) => {
        await body.dump();
        measurements.open += 1;
        if (statusCode !== 200) return measurements.count('refused');
        measurements.time('connect', clock.elapsed() - intendedMs);
        measurements.count('connected');
        this.#open = true;
      })
      .catch(() => {
        if (!this.#ended) measurements.count('errors');
      });
  }

  async #post(body: string, n: number, intendedMs: number): Promise<void> {
    const { measurements, clock } = this.#parts;
    try {
      const answer = await this.#http!.request({
        method: 'POST',
        path: '/v1/telemetry/simulated',
        headers: { 'content-type': 'application/json' },
        body,
      });
      await answer.body.dump();
      if (answer.statusCode !== 202) return measurements.count('errors');
      measurements.time('puback', clock.elapsed() - intendedMs);
      measurements.count('acknowledged');
      this.acknowledged.push(n);
    } catch {
      // The connection broke under the request: counted, and the next request opens another.
      if (!this.#ended) measurements.count('errors');
    }
  }

  #acknowledge(packetId: number): void {
    const { measurements, clock } = this.#parts;
    const message = this.#waiting.get(packetId);
    if (!message) return;
    this.#waiting.delete(packetId);
    measurements.time('puback', clock.elapsed() - message.intendedMs);
    measurements.count('acknowledged');
    this.acknowledged.push(message.n);
  }

  #closed(_why: string): void {
    const { measurements, clock, random } = this.#parts;
    if (this.#open) {
      this.#open = false;
      measurements.open -= 1;
      if (!this.#ended) measurements.count('dropped');
    } else if (!this.#ended) measurements.count('errors');
    this.#waiting.clear();
    if (this.#ended) return;
    const pause = pauseMs.least + random() * (pauseMs.most - pauseMs.least);
    clock.after(pause, () => this.connect(clock.elapsed()));
  }
}
