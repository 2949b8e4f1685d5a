/** EST as a device would speak it, over undici: one request a connection, with a certificate or without. */
import { Agent, request } from 'undici';
import type { FaultKind } from '#common/fault.ts';
import type { DeviceIdentity } from './api-client.ts';

export interface EstReply {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  /** Of a refusal. */
  readonly code: FaultKind | undefined;
}

export interface EstOrder {
  readonly ca: string;
  /** The token, by Bearer. */
  readonly token?: string;
  readonly identity?: Pick<DeviceIdentity, 'certificate' | 'key'>;
  /** DER of the CSR; the whole body when it is a text. */
  readonly csr?: Buffer | string;
}

/** `url` is a door and the path below `/.well-known/est/`. GET without a CSR, POST with one. */
export async function askEst(door: string, path: string, order: EstOrder): Promise<EstReply> {
  const { ca, token, identity, csr } = order;
  const agent = new Agent({
    connect: { ca, ...(identity && { cert: identity.certificate, key: identity.key }) },
  });
  try {
    const answer = await request(`${door}/.well-known/est/${path}`, {
      method: csr === undefined ? 'GET' : 'POST',
      dispatcher: agent,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(csr !== undefined && { 'content-type': 'application/pkcs10' }),
      },
      body: csr === undefined ? null : csr.toString('base64'),
    });
    const text = await answer.body.text();
    const isProblem = String(answer.headers['content-type']).includes('problem+json');
    const code = isProblem ? JSON.parse(text).code : undefined;
    return { status: answer.statusCode, headers: answer.headers, text, code };
  } finally {
    await agent.destroy();
  }
}
