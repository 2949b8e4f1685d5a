/** The registry's HTTP API for the command: one kept connection, problems as Faults. */
import { Agent, request } from 'undici';
import { Fault, type FaultKind, faultKinds } from '#common/fault.ts';
import type { RegistryAccess } from './where.ts';

export interface RegistryApi extends AsyncDisposable {
  /** Faults with the problem's own kind and sentence; `unavailable` when nobody answers. */
  call<Answer>(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    token?: string,
    idempotencyKey?: string,
  ): Promise<Answer>;
  /** NDJSON in, NDJSON out. Faults the same; and `unavailable` when there are not as many answers as lines. */
  lines<Answer>(path: string, lines: readonly unknown[]): Promise<Answer[]>;
}

/** `connections`: how many may be open at once. */
export function openRegistryApi({ url, ca, token, identity }: RegistryAccess, connections = 4): RegistryApi {
  const agent = new Agent({ connect: { ca, ...identity }, connections });
  const send = async (method: 'GET', path: string, headers: Record<string, string>, body?: string) => {
    const response = await request(url + path, {
      method,
      dispatcher: agent,
      headers,
      body,
    }).catch((cause: Error) => {
      throw new Fault(
        'unavailable',
        `The registry at ${url} does not answer (${cause.message}). Is it running?`,
        { cause },
      );
    });
    const text = await response.body.text();
    // 202 with a problem says "not yet".
    const isProblem = String(response.headers['content-type']).startsWith('application/problem+json');
    if (response.statusCode >= 400 || isProblem)
      throw faultOf(response.statusCode, text, Number(response.headers['retry-after'] ?? Number.NaN));
    return text;
  };
  const authorization = (secret: string | null) =>
    secret === null ? undefined : { authorization: `Bearer ${secret}` };
  return {
    async call<Answer>(
      method: 'GET',
      path: string,
      body?: unknown,
      otherToken?: string,
      key?: string,
    ): Promise<Answer> {
      const headers = {
        ...authorization(otherToken ?? token),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { 'idempotency-key': key }),
      };
      const text = await send(method, path, headers, body === undefined ? undefined : JSON.stringify(body));
      return (text === '' ? null : JSON.parse(text)) as Answer;
    },
    async lines<Answer>(path: string, lines: readonly unknown[]): Promise<Answer[]> {
      const headers = { ...authorization(token), 'content-type': 'application/x-ndjson' };
      const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      const answers = (await send('POST' as 'GET', path, headers, body)).split('\n').slice(0, -1);
      if (answers.length !== lines.length)
        throw new Fault(
          'unavailable',
          `${answers.length} of ${lines.length} lines were answered; run it again.`,
        );
      return answers.map((answer) => JSON.parse(answer) as Answer);
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

function faultOf(status: number, text: string, retryAfterS: number): Fault {
  const retry = Number.isNaN(retryAfterS) ? {} : { retryAfterMs: retryAfterS * 1000 };
  try {
    const { code, detail, errors } = JSON.parse(text) as {
      code: FaultKind;
      detail: string;
      errors?: unknown;
    };
    if (faultKinds.includes(code))
      return new Fault(code, errors ? `${detail} ${JSON.stringify(errors)}` : detail, retry);
  } catch {
    // Not a problem document: something else answered.
  }
  return new Fault('unavailable', `The registry answered ${status}: ${text.slice(0, 200)}`);
}
