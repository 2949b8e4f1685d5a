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
  ): Promise<Answer>;
}

/** `connections`: how many may be open at once. */
export function openRegistryApi({ url, ca, token, identity }: RegistryAccess, connections = 4): RegistryApi {
  const agent = new Agent({ connect: { ca, ...identity }, connections });
  return {
    async call<Answer>(method: 'GET', path: string, body?: unknown, otherToken?: string): Promise<Answer> {
      const bearer = otherToken ?? token;
      const response = await request(url + path, {
        method,
        dispatcher: agent,
        headers: {
          ...(bearer !== null && { authorization: `Bearer ${bearer}` }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      }).catch((cause: Error) => {
        throw new Fault(
          'unavailable',
          `The registry at ${url} does not answer (${cause.message}). Is it running?`,
          { cause },
        );
      });
      const text = await response.body.text();
      if (response.statusCode >= 400) throw faultOf(response.statusCode, text);
      return (text === '' ? null : JSON.parse(text)) as Answer;
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

function faultOf(status: number, text: string): Fault {
  try {
    const { code, detail, errors } = JSON.parse(text) as {
      code: FaultKind;
      detail: string;
      errors?: unknown;
    };
    if (faultKinds.includes(code))
      return new Fault(code, errors ? `${detail} ${JSON.stringify(errors)}` : detail);
  } catch {
    // Not a problem document: something else answered.
  }
  return new Fault('unavailable', `The registry answered ${status}: ${text.slice(0, 200)}`);
}
