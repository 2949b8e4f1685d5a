/** The http backend: batches of CloudEvents by POST (CloudEvents HTTP binding 1.0.2, batched mode). */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { type Clock, parseTimestamp } from '#common/clock.ts';
import type { DeviceEvent } from '#common/contract/event.ts';
import type { HttpBackendSettings } from '../../settings.ts';
import { cloudEventJson } from '../cloud-event.ts';
import type { Backend, Delivery } from './backend.ts';

/** Client errors that say "not now" or "not you", rather than "not this". */
const transient = new Set([401, 403, 404, 407, 408, 421, 425, 429]);

export class HttpBackend implements Backend {
  readonly batch: number;
  readonly #settings: HttpBackendSettings;
  readonly #clock: Clock;
  readonly #agent: Agent;

  /** Reads the files it names. Throws when one cannot be read. */
  constructor(settings: HttpBackendSettings, clock: Clock) {
    this.batch = settings.batch;
    this.#settings = settings;
    this.#clock = clock;
    const { caFile, certFile, keyFile, timeout } = settings;
    const read = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file, 'utf8'));
    if (settings.tokenFile) readFileSync(settings.tokenFile);
    this.#agent = new Agent({
      connect: { ca: read(caFile), cert: read(certFile), key: read(keyFile) },
      // One after the other: events of a device stay in order.
      connections: 1,
      headersTimeout: timeout,
      bodyTimeout: timeout,
    });
  }

  async deliver(events: readonly DeviceEvent[]): Promise<Delivery> {
    const body = `[${events.map(cloudEventJson).join(',')}]`;
    try {
      const {
        statusCode,
        headers,
        body: answer,
      } = await request(this.#settings.url, {
        method: 'POST',
        dispatcher: this.#agent,
        headers: { 'content-type': 'application/cloudevents-batch+json', ...this.#authorization() },
        body,
      });
      await answer.dump();
      if (statusCode < 300) return { outcome: 'accepted' };
      const reason = `HTTP ${statusCode}`;
      if (statusCode >= 400 && statusCode < 500 && !transient.has(statusCode))
        return { outcome: 'poison', reason };
      return { outcome: 'retry', reason, retryAfterMs: this.#retryAfterMs(headers['retry-after']) };
    } catch (thrown) {
      return { outcome: 'retry', reason: (thrown as Error).message };
    }
  }

  /** Read for every request: a token that was replaced is used at once. */
  #authorization(): Record<string, string> {
    const { tokenFile } = this.#settings;
    return tokenFile ? { authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}` } : {};
  }

  /** Seconds or an HTTP date (RFC 9110, section 10.2.3). */
  #retryAfterMs(header: string | string[] | undefined): number | undefined {
    if (typeof header !== 'string') return undefined;
    const ms = /^\d+$/.test(header) ? Number(header) * 1000 : parseTimestamp(header) - this.#clock.now();
    return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}
