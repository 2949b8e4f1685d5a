/** The registry's API as a script would call it, with one helper that enrolls a device with a key of its own. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Agent, request } from 'undici';
import { makeCsr } from '#common/x509/csr.ts';

export interface ApiAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into by the tests that know their shape
  body: any;
}

/** What a device holds after its enrollment, in PEM. */
export interface DeviceIdentity {
  id: string;
  fleet: string;
  key: string;
  /** Leaf, then issuing CA. */
  certificate: string;
  ca: string;
  fingerprint: string;
  privateKey: KeyObject;
}

export interface ApiClient {
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  /** Makes the fleet if need be, a one-use token, a key, and enrolls. */
  enroll(fleet: string, deviceId: string): Promise<DeviceIdentity>;
  close(): Promise<void>;
}

/** `token` may be empty for a caller without one; `identity` is shown in TLS. PEM. */
export function apiClient(
  url: string,
  ca: string,
  token: string,
  identity: { cert?: string; key?: string } = {},
): ApiClient {
  const agent = new Agent({ connect: { ca, ...identity } });
  const fleets = new Set<string>();

  async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const response = await request(url + path, {
      method: method as 'GET',
      dispatcher: agent,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.body.text();
    const isJson = String(response.headers['content-type']).includes('json');
    return {
      status: response.statusCode,
      headers: response.headers,
      body: isJson && text ? JSON.parse(text) : text,
    };
  }

  async function expectStatus(answer: ApiAnswer, ...statuses: number[]): Promise<ApiAnswer> {
    if (!statuses.includes(answer.status)) {
      throw new Error(`expected ${statuses}, got ${answer.status}: ${JSON.stringify(answer.body)}`);
    }
    return answer;
  }

  return {
    call,
    async enroll(fleet, deviceId) {
      if (!fleets.has(fleet)) await expectStatus(await call('POST', '/v1/fleets', { id: fleet }), 201, 409);
      fleets.add(fleet);
      const token = await expectStatus(await call('POST', `/v1/fleets/${fleet}/tokens`, { deviceId }), 201);
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const csr = await makeCsr(privateKey, deviceId);
      const authorization = `Bearer ${token.body.token}`;
      const { body } = await expectStatus(
        await call('POST', '/v1/enroll', { deviceId, csr }, { authorization }),
        201,
      );
      return {
        id: deviceId,
        fleet,
        key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        certificate: body.certificate + body.chain,
        ca: body.ca,
        fingerprint: body.fingerprint,
        privateKey,
      };
    },
    close: () => agent.destroy(),
  };
}
