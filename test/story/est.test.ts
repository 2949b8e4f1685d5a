/** What is tried at EST, on both doors: other devices' names, other rights, weak keys, no possession, too much, twice. */
import 'reflect-metadata';
import { generateKeyPairSync, webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { csrDer } from '#common/x509/pem.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { askEst, type EstReply } from '../harness/est-client.ts';
import { House } from '../harness/house.ts';
import { expireCertificate, renewFromTheStart } from '../harness/renewal-times.ts';

let house: House;
let ca: string;
let victim: DeviceIdentity;
beforeAll(async () => {
  house = await House.start({ config: 'registry: { failedAuthRate: 1000 }\n' });
  renewFromTheStart(join(house.dir, 'data'));
  victim = await house.api.enroll('plant', 'victim');
  ca = victim.ca;
});
afterAll(() => house[Symbol.asyncDispose]());

const tokenFor = async (order: object = {}): Promise<string> =>
  (await house.api.call('POST', '/v1/fleets/plant/tokens', order)).body.token;

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const rsa = (bits: number) => ({
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: bits,
  publicExponent: new Uint8Array([1, 0, 1]),
});
const name = (id: string): JsonName => [{ CN: [id] }];
const uriOf = (id: string) => `spiffe://fleetgate.local/fleet/plant/device/${id}`;
const san = (type: 'url' | 'dns', value: string) => new SubjectAlternativeNameExtension([{ type, value }]);

async function csrOf(subject: JsonName, extensions: Extension[] = [], algorithm: webcrypto.Algorithm = p256) {
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const made = await Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys,
    extensions,
    signingAlgorithm: algorithm,
  });
  return Buffer.from(made.rawData);
}

const codeOf = ({ status, code }: EstReply) => [status, code];

describe.each(['https', 'registry'] as const)('at the door %s', (door) => {
  const ask = (path: string, order: Omit<Parameters<typeof askEst>[2], 'ca'>) =>
    askEst(house.doors[door], path, { ca, ...order });
  const enroll = (csr: Buffer | string, token: string) => ask('simpleenroll', { csr, token });
  const me = (what: string) => `${door}-${what}`;

  test('a token for one device enrolls no other', async () => {
    const token = await tokenFor({ deviceId: me('own') });
    expect(codeOf(await enroll(await csrOf(name('victim')), token))).toEqual([403, 'token-scope']);
    expect((await enroll(await csrOf(name(me('own'))), token)).status).toBe(200);
  });

  test.each<[string, number, string, () => Promise<Buffer>]>([
    ['no CN', 400, 'malformed', () => csrOf([{ O: ['Plant'] }])],
    ['a CN that is a topic filter', 400, 'malformed', () => csrOf(name('+/a'))],
    ['two CNs', 422, 'csr-subject', () => csrOf([{ CN: [me('a')] }, { CN: ['victim'] }])],
    [
      'the name of another device beside its own',
      422,
      'csr-san',
      () => csrOf(name(me('a')), [san('url', uriOf('victim'))]),
    ],
    ['a name that a door could have', 422, 'csr-san', () => csrOf(name(me('a')), [san('dns', 'localhost')])],
    [
      'a CA',
      422,
      'csr-ca-requested',
      () => csrOf(name(me('a')), [new BasicConstraintsExtension(true, 1, true)]),
    ],
    [
      'the right to sign certificates',
      422,
      'csr-ca-requested',
      () => csrOf(name(me('a')), [new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)]),
    ],
    [
      'the purpose of a server',
      422,
      'csr-usage',
      () => csrOf(name(me('a')), [new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1'])]),
    ],
    ['RSA of 1024 bits', 422, 'csr-key-weak', () => csrOf(name(me('a')), [], rsa(1024))],
    [
      'a signature by nobody',
      422,
      'csr-signature',
      async () => {
        const csr = await csrOf(name(me('a')));
        csr[csr.length - 1]! ^= 1;
        return csr;
      },
    ],
    [
      'the key of another device',
      409,
      'csr-key-reused',
      async () => csrDer(await makeCsr(victim.privateKey, me('a'))),
    ],
    [
      'something behind it',
      400,
      'csr-malformed',
      async () => Buffer.concat([await csrOf(name(me('a'))), Buffer.from([0])]),
    ],
  ])('a CSR with %s is %i, and spends nothing', async (_what, status, code, make) => {
    const token = await tokenFor();
    expect(codeOf(await enroll(await make(), token))).toEqual([status, code]);
    expect((await enroll(await csrOf(name(me('spent-last'))), token)).status).toBe(200);
    await house.api.call('POST', `/v1/devices/${me('spent-last')}/revoke`);
    await house.api.call('DELETE', `/v1/devices/${me('spent-last')}`);
  });

  test('a CSR as csrattrs wants it is taken', async () => {
    const extensions = [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.2']),
      san('url', uriOf(me('exemplary'))),
    ];
    expect((await enroll(await csrOf(name(me('exemplary')), extensions), await tokenFor())).status).toBe(200);
  });

  test('a token good once is good once, for two who come at once by different doors', async () => {
    const token = await tokenFor();
    const csrs = [await csrOf(name(me('twin-1'))), await csrOf(name(me('twin-2')))];
    const answers = await Promise.all([
      askEst(house.doors.https, 'simpleenroll', { ca, token, csr: csrs[0]! }),
      askEst(house.doors.registry, 'simpleenroll', { ca, token, csr: csrs[1]! }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401]);
    expect(answers.map(({ code }) => code)).toContain('token-spent');
  });

  test('the certificate of a device enrolls nobody', async () => {
    const csr = await csrOf(name(me('stranger')));
    expect(codeOf(await ask('simpleenroll', { csr, identity: victim }))).toEqual([401, 'unauthenticated']);
  });

  test('a CSR is bounded before it is decoded', async () => {
    expect(codeOf(await enroll('A'.repeat(24_580), 'fge_any'))).toEqual([413, 'csr-too-large']);
  });

  test('a body of 100 MB is refused by what it announces, before any of it', async () => {
    const said = await announce(door, 100 * 1024 * 1024);
    expect(said).toMatch(/^HTTP\/1\.1 413 /);
    expect(said).toMatch(/connection: close/i);
  });

  test('one that announces nothing is cut off at its limit', async () => {
    const { sent, said } = await pour(door, 32 * 1024 * 1024);
    expect(sent).toBeLessThan(32 * 1024 * 1024);
    if (said !== '') expect(said).toMatch(/^HTTP\/1\.1 413 /);
    expect((await ask('cacerts', {})).status).toBe(200);
  });

  describe('simplereenroll', () => {
    const renew = (csr: Buffer, identity: DeviceIdentity) => ask('simplereenroll', { csr, identity });

    test.each<[string, JsonName, Extension[]]>([
      ['another subject', name('victim-2'), [san('url', uriOf('victim'))]],
      ['another alternative name', name('victim'), [san('url', uriOf('victim-2'))]],
      ['no alternative name', name('victim'), []],
    ])('with %s is refused', async (_what, subject, extensions) => {
      expect(codeOf(await renew(await csrOf(subject, extensions), victim))).toEqual([422, 'renewal-subject']);
    });

    test('renews what is good, and what was revoked no longer', async () => {
      const device = await house.api.enroll('plant', me('renews'));
      const own = [san('url', uriOf(device.id))];
      expect((await renew(await csrOf(name(device.id), own), device)).status).toBe(200);
      await house.api.call('POST', `/v1/certificates/${device.fingerprint}/revoke`);
      const refused = await renew(await csrOf(name(device.id), own), device);
      expect(codeOf(refused)).toEqual([403, 'certificate-revoked']);
    });

    test('gives the same answer to the same CSR: a lost answer locks nobody out', async () => {
      const device = await house.api.enroll('plant', me('again'));
      const csr = await csrOf(name(device.id), [san('url', uriOf(device.id))]);
      const [first, second] = [await renew(csr, device), await renew(csr, device)];
      expect(first.status).toBe(200);
      expect(second.text).toBe(first.text);
    });

    test('renews a certificate that has run out, within the grace of its fleet, and no later', async () => {
      const dataDir = join(house.dir, 'data');
      const [late, lost] = [
        await house.api.enroll('plant', me('late')),
        await house.api.enroll('plant', me('lost')),
      ];
      const dayMs = 86_400_000;
      expireCertificate(dataDir, late.fingerprint, 29 * dayMs);
      expireCertificate(dataDir, lost.fingerprint, 31 * dayMs);
      const csr = (id: string) => csrOf(name(id), [san('url', uriOf(id))]);
      expect((await renew(await csr(late.id), late)).status).toBe(200);
      expect(codeOf(await renew(await csr(lost.id), lost))).toEqual([401, 'certificate-expired']);
    });

    test('needs a certificate of ours', async () => {
      const csr = await csrOf(name('victim'), [san('url', uriOf('victim'))]);
      expect(codeOf(await ask('simplereenroll', { csr }))).toEqual([401, 'no-certificate']);
      const forged = await selfSigned('victim');
      expect(codeOf(await ask('simplereenroll', { csr, identity: forged }))).toEqual([
        401,
        'unknown-certificate',
      ]);
    });
  });

  test('no key is made unless the settings say so', async () => {
    const csr = await csrOf(name(me('keyless')));
    expect(codeOf(await ask('serverkeygen', { csr, token: await tokenFor() }))).toEqual([403, 'forbidden']);
  });
});

test('POST /v1/renew at the HTTPS door renews an admitted device, and nobody else', async () => {
  const device = await house.api.enroll('plant', 'by-json');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = await makeCsr(privateKey, device.id);
  const post = async (identity?: DeviceIdentity) => {
    const { Agent, request } = await import('undici');
    const agent = new Agent({ connect: { ca, cert: identity?.certificate, key: identity?.key } });
    const body = JSON.stringify({ csr });
    const answer = await request(`${house.doors.https}/v1/renew`, {
      method: 'POST',
      dispatcher: agent,
      body,
    });
    const said = (await answer.body.json()) as Record<
      'deviceId' | 'fingerprint' | 'renewAfter' | 'code',
      string | undefined
    >;
    await agent.destroy();
    return { status: answer.statusCode, ...said };
  };
  expect(await post()).toMatchObject({ status: 401, code: 'no-certificate' });
  const renewed = await post(device);
  expect(Number.isNaN(Date.parse(renewed.renewAfter ?? ''))).toBe(false);
  expect(renewed).toMatchObject({ status: 201, deviceId: device.id });
  expect(renewed.fingerprint).not.toBe(device.fingerprint);
  expect(await post(victim)).toMatchObject({ code: 'renewal-subject' });
});

test('who enrolls at the HTTPS door without a certificate is no refused connection', async () => {
  const refused = async () => {
    const page = await (await fetch(`${house.doors.ops}/metrics`)).text();
    const line =
      /fleetgate_connects_total\{protocol="https",result="refused",reason="no-certificate"\} (\d+)/;
    return Number(line.exec(page)?.[1]);
  };
  const before = await refused();
  await askEst(house.doors.https, 'cacerts', { ca });
  expect(await refused()).toBe(before);
});

test('the numbers of the HTTPS door: bytes of a body, requests of an address', async () => {
  await using small = await House.start({
    config: 'https: { maxEnrollBody: 1KiB }\nlimits: { enrollRatePerAddress: 1 }\n',
  });
  const trust = readFileSync(small.doors.ca, 'utf8');
  const post = (bytes: number) =>
    askEst(small.doors.https, 'simpleenroll', { ca: trust, csr: 'A'.repeat(bytes), token: 'fge_any' });
  expect(codeOf(await post(1025))).toEqual([413, 'too-large']);
  expect(codeOf(await post(1024))).toEqual([401, 'token-invalid']);
  const many = await Promise.all(Array.from({ length: 12 }, () => post(4)));
  const late = many.find(({ status }) => status === 429);
  expect(late?.code).toBe('rate-limited');
  expect(Number(late?.headers['retry-after'])).toBeGreaterThan(0);
});

/** What is answered to headers alone that announce a body. */
function announce(door: 'https' | 'registry', length: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: house.port(door), ca });
  socket.write(
    `POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\nContent-Length: ${length}\r\n\r\n`,
  );
  return new Promise((resolve, reject) => {
    let said = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      said += text;
    });
    socket.once('close', () => resolve(said));
    socket.once('error', reject);
  });
}

/** Sends chunk after chunk until it is cut off, or `most` bytes are out. */
async function pour(door: 'https' | 'registry', most: number): Promise<{ sent: number; said: string }> {
  const socket = connect({ host: '127.0.0.1', port: house.port(door), ca });
  let said = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    said += text;
  });
  // A reset is one way of being cut off.
  socket.on('error', () => {});
  const closed = new Promise((done) => socket.once('close', done));
  socket.write(
    'POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  const chunk = `4000\r\n${'A'.repeat(0x4000)}\r\n`;
  let sent = 0;
  let wake = () => {};
  socket.on('drain', () => wake());
  while (!socket.destroyed && sent < most) {
    sent += 0x4000;
    const drained = new Promise<void>((done) => {
      wake = done;
    });
    if (!socket.write(chunk)) await Promise.race([drained, closed]);
  }
  await closed;
  return { sent, said };
}

async function selfSigned(id: string): Promise<DeviceIdentity> {
  const { X509CertificateGenerator } = await import('@peculiar/x509');
  const keys = (await webcrypto.subtle.generateKey(p256, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const made = await X509CertificateGenerator.createSelfSigned({
    name: name(id),
    keys,
    extensions: [san('url', uriOf(id))],
    signingAlgorithm: p256,
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    ...victim,
    certificate: made.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
  };
}
