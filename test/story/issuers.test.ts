/** What a change of issuers means to those who hold something of them: doors, claims, lists, bundles, the verdict. */
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { request } from 'undici';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { apiClient } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { keyAndCsr, renewAt, renewed } from '../harness/renew.ts';
import { TimedHouse } from '../harness/timed-house.ts';

const day = 86_400_000;
let house: TimedHouse;
const call: TimedHouse['api']['call'] = (...args) => house.api.call(...args);
const add = async (body: object = {}) => {
  const answer = await call('POST', '/v1/issuers', body);
  expect(answer.status).toBe(201);
  return answer.body as { id: string; certificate: string; subject: string };
};
const prefer = async (id: string) =>
  expect((await call('POST', `/v1/issuers/${id}/prefer`)).status).toBe(200);
const remove = (query = '', id = 'issuing') => call('DELETE', `/v1/issuers/${id}${query}`);
const pki = async (path: string) => {
  const { statusCode, body } = await request(house.registry.urls.pki + path);
  const bytes = Buffer.from(await body.arrayBuffer());
  return { status: statusCode, bytes };
};
const verdict = async () => (await call('GET', '/v1/status')).body;
const count = (text: string) => text.match(/BEGIN CERTIFICATE/g)?.length ?? 0;

beforeEach(async () => {
  house = await TimedHouse.start({ 'ca.leafLifetime': '10d', 'ca.issuingLifetime': '100d' });
});
afterEach(() => house[Symbol.asyncDispose]());

test('bundles, doors and the PKI door speak of every issuer that is trusted, and of no other', async () => {
  const { doors } = house.registry.line;
  const leaf = () => new X509Certificate(doors.current.chain);
  const bundle = () => readFileSync(house.registry.caFile, 'utf8');
  const old = leaf();
  const { certificate, subject } = await add();
  for (const text of [bundle(), doors.current.trust])
    expect([count(text), text]).toEqual([3, expect.stringContaining(certificate)]);
  const served = await pki('/ca/issuing-2.cer');
  expect(served.bytes).toEqual(new X509Certificate(certificate).raw);
  await eventually(async () => expect((await pki('/crl/issuing-2.crl')).status).toBe(200));
  const est = await request(`${house.registry.urls.registry}/.well-known/est/cacerts`, {
    dispatcher: new (await import('undici')).Agent({ connect: { ca: bundle() } }),
  });
  const held = Buffer.from(await est.body.text(), 'base64');
  expect(held.includes(new X509Certificate(certificate).raw)).toBe(true);

  await prefer('issuing-2');
  // It has a while to go: it is renewed in its time.
  expect(leaf().serialNumber).toBe(old.serialNumber);
  expect((await remove()).body).toMatchObject({ complete: true, sessions: [] });
  await eventually(() => expect(leaf().issuer.split('\n').join(', ')).toBe(subject));
  for (const text of [bundle(), doors.current.trust]) expect(count(text)).toBe(2);
  for (const path of ['/ca/issuing.cer', '/crl/issuing.crl'])
    await eventually(async () => expect((await pki(path)).status).toBe(404));
  expect((await pki('/crl/issuing-2.crl')).status).toBe(200);
  const device = await house.api.enroll('plant', 'pump');
  await (await connectDevice(device, house.ports.mqtts)).client.endAsync();
});

test('a claim certificate keeps its issuer, and goes with it', async () => {
  await call('POST', '/v1/fleets', { id: 'plant' });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ask = { csr: await makeCsr(privateKey, 'line'), uses: 9, ttl: '5d' };
  const { body: claim } = await call('POST', '/v1/fleets/plant/claims', ask);
  const identity = {
    cert: claim.certificate + claim.chain,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
  const line = apiClient(house.registry.urls.registry, claim.ca, '', identity);
  const enroll = async (id: string) =>
    line.call('POST', '/v1/enroll', { deviceId: id, csr: (await keyAndCsr(id)).csr });
  await add();
  await prefer('issuing-2');
  const enrolled = await enroll('pump');
  expect(enrolled.status).toBe(201);
  expect((await remove()).body).toMatchObject({ code: 'conflict', certificates: 1 });
  expect((await remove('?dryRun=true')).body).toMatchObject({ devices: 0, certificates: 1, first: [] });
  expect((await remove('?force=true')).status).toBe(200);
  expect((await enroll('lamp')).body.code).toBe('claim-invalid');
  await line.close();
});

test('a renewal moves a device to the preferred issuer; what is removed renews nobody', async () => {
  const [old, lost] = [await house.api.enroll('plant', 'pump'), await house.api.enroll('plant', 'lost')];
  await add();
  await prefer('issuing-2');
  await call('POST', '/v1/issuers/issuing/drain');
  house.clock.aheadMs += 9 * day;
  const { key, csr } = await keyAndCsr('pump');
  const answer = await renewAt(house.registry.urls.registry, old, csr);
  const moved = renewed(old, answer.body, key);
  // It has not arrived yet, as far as anybody knows: the device last used the old one.
  expect((await remove('?dryRun=true')).body.first).toEqual(['lost', 'pump']);
  await (await connectDevice(moved, house.ports.mqtts)).client.endAsync();
  await eventually(async () => expect((await remove('?dryRun=true')).body.first).toEqual(['lost']));
  // Expired, and within its grace: it could still be renewed.
  house.clock.aheadMs += 2 * day;
  expect((await remove()).body).toMatchObject({ code: 'conflict', certificates: 2 });
  // The doors are renewed by a removal, for clients who have the time of this machine.
  house.clock.aheadMs = 0;
  expect((await remove('?force=true')).status).toBe(200);
  const late = await renewAt(house.registry.urls.registry, lost, (await keyAndCsr('lost')).csr);
  expect(late.body.code).toBe('issuer-not-trusted');
});

test('the verdict says when a rollover is due, and how far a drain has come', async () => {
  expect((await verdict()).verdict).not.toContain('roll it over');
  await house.api.enroll('plant', 'pump');
  house.clock.aheadMs += 11 * day;
  expect((await verdict()).verdict).toContain('the issuing CA issuing expires in 88 days: roll it over');
  await add();
  await prefer('issuing-2');
  expect((await verdict()).verdict).not.toContain('roll it over');
  await call('POST', '/v1/issuers/issuing/drain');
  expect((await verdict()).verdict).toContain('1 device(s) used it last, 1 live certificate(s) are of it');
  house.clock.aheadMs += 30 * day;
  expect((await verdict()).verdict).toContain('The issuer issuing is drained and can be removed.');
  expect((await remove()).status).toBe(200);
});

test('no certificate outlives its issuer, and an issuer that has ended is preferred by nobody', async () => {
  house.clock.aheadMs += 95 * day;
  const device = await house.api.enroll('plant', 'pump');
  const [leaf, issuing] = device.certificate
    .split(/(?<=END CERTIFICATE-----\n)/)
    .map((pem) => new X509Certificate(pem));
  expect(leaf!.validTo).toBe(issuing!.validTo);
  house.clock.aheadMs += 6 * day;
  await expect(house.api.enroll('plant', 'lamp')).rejects.toThrow('roll it over');
  await add();
  await prefer('issuing-2');
  expect((await call('POST', '/v1/issuers/issuing/prefer')).body.code).toBe('conflict');
  await house.api.enroll('plant', 'lamp');
});

test('two that are added at once have two numbers, and a number that is gone does not come back', async () => {
  const made = await Promise.all([add(), add({ keyType: 'Ed25519' })]);
  expect(made.map(({ id }) => id).sort()).toEqual(['issuing-2', 'issuing-3']);
  expect((await remove('', 'issuing-3')).status).toBe(200);
  expect((await add()).id).toBe('issuing-4');
  expect(readFileSync(join(house.dir, 'ca', 'issuing-3.key.removed'), 'utf8')).toContain(
    'ENCRYPTED PRIVATE KEY',
  );
});

test('what is not there, or not allowed, is said so', async () => {
  for (const [method, path, body] of [
    ['GET', '/v1/issuers/nobody'],
    ['POST', '/v1/issuers/nobody/prefer'],
    ['POST', '/v1/issuers/nobody/drain'],
    ['POST', '/v1/issuers/nobody/certificate', { certificate: 'x' }],
    ['DELETE', '/v1/issuers/nobody'],
    ['DELETE', '/v1/issuers/nobody?dryRun=true'],
  ] as const)
    expect([path, (await call(method, path, body)).status]).toEqual([path, 404]);
  const { body: token } = await call('POST', '/v1/api-tokens', { name: 'op', role: 'operator' });
  const authorization = { authorization: `Bearer ${token.token}` };
  expect((await call('GET', '/v1/issuers', undefined, authorization)).status).toBe(200);
  expect((await call('POST', '/v1/issuers', {}, authorization)).status).toBe(403);
  expect((await call('DELETE', '/v1/issuers/issuing', undefined, authorization)).status).toBe(403);
  // The module of a token is for the configuration to name.
  const foreign = { signer: { type: 'pkcs11', keyLabel: 'x', module: '/tmp/x.so' } };
  expect((await call('POST', '/v1/issuers', foreign)).status).toBe(400);
  const tokenless = await call('POST', '/v1/issuers', { signer: { type: 'pkcs11', keyLabel: 'x' } });
  expect(tokenless).toMatchObject({
    status: 503,
    body: { detail: expect.stringContaining('ca.signer names none') },
  });
  expect((await call('GET', '/v1/issuers')).body.items).toHaveLength(1);
});
