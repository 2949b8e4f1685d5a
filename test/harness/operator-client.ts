/** An operator of the tests: a key, a certificate for it from the registry, and calls over mutual TLS. */
import { generateKeyPairSync } from 'node:crypto';
import { Agent, request } from 'undici';
import { makeCsr } from '#common/x509/csr.ts';
import type { ApiAnswer, ApiClient } from './api-client.ts';

export interface OperatorClient extends AsyncDisposable {
  readonly fingerprint: string;
  /** Leaf, then issuing CA; PEM. */
  readonly certificate: string;
  readonly key: string;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
}

export async function operatorClient(
  api: ApiClient,
  url: string,
  name: string,
  role: string,
  more: object = {},
): Promise<OperatorClient> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = await makeCsr(privateKey, name);
  const { status, body } = await api.call('POST', '/v1/operators', { name, role, csr, ...more });
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`);
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return clientWith(url, body.ca, body.certificate + body.chain, key, body.fingerprint);
}

/** The same with any certificate. */
export function clientWith(
  url: string,
  ca: string,
  certificate: string,
  key: string,
  fingerprint: string,
): OperatorClient {
  const agent = new Agent({ connect: { ca, cert: certificate, key } });
  return {
    fingerprint,
    certificate,
    key,
    async call(method, path, body, headers = {}) {
      const response = await request(url + path, {
        method: method as 'GET',
        dispatcher: agent,
        headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      const text = await response.body.text();
      return { status: response.statusCode, headers: response.headers, body: text ? JSON.parse(text) : null };
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}
