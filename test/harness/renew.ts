/** Renewal as a device does it: a new key, a CSR, a call by client certificate, and the identity that comes of it. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Agent, request } from 'undici';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { makeCsr } from '#common/x509/csr.ts';
import type { ApiAnswer, DeviceIdentity } from './api-client.ts';

/** A new key and a CSR of it, PEM. */
export async function keyAndCsr(id: string): Promise<{ key: KeyObject; csr: string }> {
  const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { key, csr: await makeCsr(key, id) };
}

/** A call of a device by its certificate, or of somebody without one. */
export async function callAs(
  who: DeviceIdentity | { ca: string },
  method: 'GET' | 'POST',
  url: string,
  { body, headers = {} }: { body?: string; headers?: Record<string, string> } = {},
): Promise<ApiAnswer> {
  const identity = 'key' in who ? { key: who.key, cert: who.certificate } : {};
  const agent = new Agent({ connect: { ca: who.ca, ...identity } });
  try {
    const response = await request(url, {
      method,
      dispatcher: agent,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      body,
    });
    const text = await response.body.text();
    return {
      status: response.statusCode,
      headers: response.headers,
      body: text === '' ? '' : JSON.parse(text),
    };
  } finally {
    await agent.destroy();
  }
}

/** `POST /v1/renew` at a registry door. */
export const renewAt = (
  registry: string,
  who: DeviceIdentity | { ca: string },
  csr: string,
  headers: Record<string, string> = {},
): Promise<ApiAnswer> =>
  callAs(who, 'POST', `${registry}/v1/renew`, { body: JSON.stringify({ csr }), headers });

/** What a device holds once it has taken the answer in. */
export const renewed = (old: DeviceIdentity, issued: IssuedCertificate, key: KeyObject): DeviceIdentity => ({
  ...old,
  key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  certificate: issued.certificate + issued.chain,
  ca: issued.ca,
  fingerprint: issued.fingerprint,
  privateKey: key,
});
