/** Attack line 29, over the registry's JSON: each is refused by its word with a token and with a claim, and spends nothing. */
import 'reflect-metadata';
import {
  checkPrimeSync,
  createPrivateKey,
  generateKeyPairSync,
  generatePrimeSync,
  type KeyObject,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import {
  BasicConstraintsExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { importKey } from '#common/x509/crypto-key.ts';
import { makeCsr } from '#common/x509/csr.ts';
import { type ApiClient, apiClient } from '../harness/api-client.ts';
import { House } from '../harness/house.ts';

let house: House;
const call: House['api']['call'] = (...args) => house.api.call(...args);
beforeAll(async () => {
  house = await House.start({ config: 'registry: { failedAuthRate: 1000 }\n' });
  await call('POST', '/v1/fleets', { id: 'plant' });
});
afterAll(() => house[Symbol.asyncDispose]());

const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = (bits: number) => generateKeyPairSync('rsa', { modulusLength: bits }).privateKey;

interface Caller {
  enroll(deviceId: string, csr: string): ReturnType<ApiClient['call']>;
  usesLeft(): Promise<number>;
  close(): Promise<void>;
}

async function byToken(uses: number): Promise<Caller> {
  const { body: made } = await call('POST', '/v1/fleets/plant/tokens', { uses });
  const headers = { authorization: `Bearer ${made.token}` };
  return {
    enroll: (deviceId, csr) => call('POST', '/v1/enroll', { deviceId, csr }, headers),
    usesLeft: () => leftOf('tokens', made.id),
    close: async () => {},
  };
}

async function byClaim(uses: number): Promise<Caller> {
  const { privateKey } = p256();
  const ask = { csr: await makeCsr(privateKey, 'line'), uses, ttl: '1h' };
  const { body: claim } = await call('POST', '/v1/fleets/plant/claims', ask);
  const line = apiClient(house.doors.registry, readFileSync(house.doors.ca, 'utf8'), '', {
    cert: claim.certificate + claim.chain,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  });
  return {
    enroll: (deviceId, csr) => line.call('POST', '/v1/enroll', { deviceId, csr }),
    usesLeft: () => leftOf('claims', claim.id),
    close: () => line.close(),
  };
}

async function leftOf(kind: 'tokens' | 'claims', id: string): Promise<number> {
  const { items } = (await call('GET', `/v1/fleets/plant/${kind}`)).body;
  return items.find((each: { id: string }) => each.id === id).usesLeft;
}

/** A CSR that asks for whatever one wants. */
async function askingFor(extensions: Extension[], commonName = 'd'): Promise<string> {
  const { privateKey, publicKey } = p256();
  const { key, algorithm } = importKey(privateKey, 'sign');
  const made = await Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [commonName] }],
    keys: { privateKey: key, publicKey: importKey(publicKey, 'verify').key },
    signingAlgorithm: algorithm,
    extensions,
  });
  return `${made.toString('pem')}\n`;
}

const san = (type: 'url' | 'dns', value: string) => new SubjectAlternativeNameExtension([{ type, value }]);

/** The public key of one, the signature of another. */
async function withoutTheKey(): Promise<string> {
  const [mine, theirs] = [p256(), p256()];
  const { key, algorithm } = importKey(mine.privateKey, 'sign');
  const made = await Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: ['d'] }],
    keys: { privateKey: key, publicKey: importKey(theirs.publicKey, 'verify').key },
    signingAlgorithm: algorithm,
  });
  return `${made.toString('pem')}\n`;
}

/** An RSA key whose primes are neighbours, as broken generators have made them (CVE-2022-26320). */
function closePrimes(): KeyObject {
  const e = 65_537n;
  const p = generatePrimeSync(1024, { bigint: true });
  let q = p + 2n;
  while (!checkPrimeSync(q) || (q - 1n) % e === 0n) q += 2n;
  const d = inverse(e, (p - 1n) * (q - 1n));
  const field = (n: bigint) => {
    const hex = n.toString(16);
    return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
  };
  const jwk = {
    kty: 'RSA',
    n: field(p * q),
    e: 'AQAB',
    d: field(d),
    p: field(p),
    q: field(q),
    dp: field(d % (p - 1n)),
    dq: field(d % (q - 1n)),
    qi: field(inverse(q, p)),
  };
  return createPrivateKey({ key: jwk, format: 'jwk' });
}

/** By the extended algorithm of Euclid. */
function inverse(a: bigint, modulus: bigint): bigint {
  let [r, nextR, t, nextT] = [modulus, a % modulus, 0n, 1n];
  while (nextR !== 0n) {
    const quotient = r / nextR;
    [r, nextR] = [nextR, r - quotient * nextR];
    [t, nextT] = [nextT, t - quotient * nextT];
  }
  return ((t % modulus) + modulus) % modulus;
}

const attacks: [what: string, make: () => Promise<string>, status: number, code: string][] = [
  ['a CSR for another device', () => makeCsr(p256().privateKey, 'other'), 422, 'csr-subject'],
  [
    "another device's SPIFFE ID",
    () => askingFor([san('url', 'spiffe://fleetgate.local/fleet/plant/device/other')]),
    422,
    'csr-san',
  ],
  [
    "a gateway's SPIFFE ID",
    () => askingFor([san('url', 'spiffe://fleetgate.local/gateway/north')]),
    422,
    'csr-san',
  ],
  ['the name of the server', () => askingFor([san('dns', 'localhost')]), 422, 'csr-san'],
  ['CA:TRUE', () => askingFor([new BasicConstraintsExtension(true, 0, true)]), 422, 'csr-ca-requested'],
  [
    'keyCertSign',
    () => askingFor([new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)]),
    422,
    'csr-ca-requested',
  ],
  ['RSA of 1024 bits', () => makeCsr(rsa(1024), 'd'), 422, 'csr-key-weak'],
  ['RSA with close primes', () => makeCsr(closePrimes(), 'd'), 422, 'csr-key-weak'],
  ['a key that it does not hold', withoutTheKey, 422, 'csr-signature'],
];

describe.each([
  ['a token', byToken],
  ['a claim certificate', byClaim],
] as const)('with %s', (_kind, open) => {
  test.each(attacks)('%s', async (_what, make, status, code) => {
    const caller = await open(1);
    expect(await caller.enroll('d', await make())).toMatchObject({ status, body: { code } });
    expect(await caller.usesLeft()).toBe(1);
    await caller.close();
  });

  test('a key that another device has already', async () => {
    const caller = await open(2);
    const { privateKey } = p256();
    const [one, two] = [`${_kind.length}-one`, `${_kind.length}-two`];
    expect((await caller.enroll(one, await makeCsr(privateKey, one))).status).toBe(201);
    const reused = await caller.enroll(two, await makeCsr(privateKey, two));
    expect(reused).toMatchObject({ status: 409, body: { code: 'csr-key-reused' } });
    expect(await caller.usesLeft()).toBe(1);
    await caller.close();
  });

  test('good for one use, used twice at once', async () => {
    const caller = await open(1);
    const ids = [`${_kind.length}-left`, `${_kind.length}-right`];
    const csrs = await Promise.all(ids.map((id) => makeCsr(p256().privateKey, id)));
    const answers = await Promise.all(ids.map((id, at) => caller.enroll(id, csrs[at]!)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 401]);
    expect(await caller.usesLeft()).toBe(0);
    await caller.close();
  });
});

test('a body of 100 MB, announced or not, is refused without being held', async () => {
  const agent = new Agent({ connect: { ca: readFileSync(house.doors.ca, 'utf8') } });
  const residentKb = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${house.child.pid}/status`, 'utf8'))?.[1]);
  const before = residentKb();
  const megabyte = Buffer.alloc(1024 * 1024, 0x20);
  const post = (headers: Record<string, string>) =>
    request(`${house.doors.registry}/v1/enroll`, {
      method: 'POST',
      dispatcher: agent,
      headers: { authorization: 'Bearer fge_x', 'content-type': 'application/json', ...headers },
      body: Readable.from(
        (function* () {
          for (let n = 0; n < 100; n++) yield megabyte;
        })(),
      ),
    }).then(
      ({ statusCode }) => statusCode,
      // It may hang up before it was all sent.
      (error: Error & { code?: string }) => error.code,
    );
  for (const headers of [{ 'content-length': String(100 * megabyte.length) }, {}] as Record<string, string>[])
    expect([413, 'UND_ERR_SOCKET', 'EPIPE', 'ECONNRESET']).toContain(await post(headers));
  expect(residentKb() - before).toBeLessThan(60 * 1024);
  expect((await call('GET', '/v1/status')).status).toBe(200);
  await agent.destroy();
});
