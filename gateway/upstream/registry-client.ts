/** The registry's HTTP API, as far as a gateway speaks it: enrolling its doors, following the feed, answering. */
import { Agent, request } from 'undici';
import type { LineAsk, LineAsks } from '#common/contract/enrollment.ts';
import type { Answer, FeedLine, GatewayCertificate, GatewayEnrollment } from '#common/contract/line.ts';
import { Fault, type FaultKind, faultKinds } from '#common/fault.ts';

export interface Credentials {
  /** PEM bundle that the registry's certificate must lead to. */
  readonly ca: string;
  /** PEM chain and key of the gateway; absent before its first enrollment. */
  readonly certificate?: { readonly chain: string; readonly key: string };
  /** API token for the first enrollment. */
  readonly token?: string;
}

/** A feed that says nothing for so long is dead; heartbeats come every two seconds. */
const feedSilenceMs = 15_000;
const answerTimeoutMs = 10_000;

export class RegistryClient implements AsyncDisposable {
  readonly #url: string;
  readonly #agent: Agent;
  readonly #headers: Record<string, string>;

  constructor(url: string, credentials: Credentials) {
    this.#url = url.replace(/\/$/, '');
    this.#headers = credentials.token ? { authorization: `Bearer ${credentials.token}` } : {};
    const { ca, certificate } = credentials;
    this.#agent = new Agent({
      connect: { ca, ...(certificate && { cert: certificate.chain, key: certificate.key }) },
      bodyTimeout: feedSilenceMs,
      headersTimeout: answerTimeoutMs,
    });
  }

  /** Faults `unavailable` when the registry cannot be reached, else as the registry answers. */
  async enroll(body: GatewayEnrollment): Promise<GatewayCertificate> {
    return (await this.#post('/v1/gateways', body)) as GatewayCertificate;
  }

  async answer(gateway: string, answer: Answer): Promise<void> {
    await this.#post(`/v1/gateways/${encodeURIComponent(gateway)}/answers`, answer);
  }

  /** A question for a device at our doors. Faults as the registry answers, `unavailable` when it is away. */
  async ask<K extends LineAsk>(
    gateway: string,
    kind: K,
    ask: LineAsks[K]['ask'],
  ): Promise<LineAsks[K]['answer']> {
    const path = `/v1/gateways/${encodeURIComponent(gateway)}/asks/${kind}`;
    return (await this.#post(path, ask)) as LineAsks[K]['answer'];
  }

  /** The feed from after change `since`, in lots as they arrive: whole lines, parsed. Ends only by a Fault or signal. */
  async *follow(gateway: string, since: number, signal: AbortSignal): AsyncGenerator<FeedLine[]> {
    const path = `/v1/changes?since=${since}&gateway=${encodeURIComponent(gateway)}`;
    const body = await this.#send('GET', path, undefined, signal);
    let rest = '';
    body.setEncoding('utf8');
    for await (const chunk of body as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      const parsed = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as FeedLine);
      if (parsed.length > 0) yield parsed;
    }
  }

  async #post(path: string, body: unknown): Promise<unknown> {
    const answer = await this.#send('POST', path, JSON.stringify(body));
    const text = await answer.text();
    return text === '' ? null : JSON.parse(text);
  }

  async #send(method: 'GET' | 'POST', path: string, body?: string, signal?: AbortSignal) {
    const headers = { ...this.#headers, ...(body !== undefined && { 'content-type': 'application/json' }) };
    const response = await request(this.#url + path, {
      method,
      headers,
      body,
      signal,
      dispatcher: this.#agent,
    }).catch((cause: Error) => {
      throw new Fault('unavailable', `The registry at ${this.#url} cannot be reached: ${cause.message}`, {
        cause,
      });
    });
    if (response.statusCode < 300) return response.body;
    const retryAfterMs = Number(response.headers['retry-after'] ?? Number.NaN) * 1000;
    throw faultOfAnswer(response.statusCode, await response.body.text(), retryAfterMs, `${method} ${path}`);
  }

  /** When what is under way is answered. */
  async close(): Promise<void> {
    await this.#agent.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

/** A problem document is the fault that it was (RFC 9457); anything else is ours to explain. */
function faultOfAnswer(status: number, text: string, retryAfterMs: number, what: string): Fault {
  try {
    const { code, detail, type: _type, title: _title, status: _status, ...fields } = JSON.parse(text);
    if (faultKinds.includes(code) && typeof detail === 'string') {
      const retry = Number.isFinite(retryAfterMs) ? retryAfterMs : undefined;
      return new Fault(code as FaultKind, detail, { retryAfterMs: retry, fields });
    }
  } catch {
    // Not JSON: no registry has answered.
  }
  return new Fault('forbidden', `The registry answered ${status} to ${what}: ${text.slice(0, 500)}`);
}
