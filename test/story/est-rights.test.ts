/** EST by other rights than a token: a claim certificate, an operator's approval, the certificate of a manufacturer. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { csrDer } from '#common/x509/pem.ts';
import { askEst } from '../harness/est-client.ts';
import { ForeignCa } from '../harness/foreign-ca.ts';
import { House } from '../harness/house.ts';

let house: House;
let ca: string;
let dir: string;
let maker: ForeignCa;
beforeAll(async () => {
  house = await House.start({ config: 'registry: { approvalRetry: 7s }\n' });
  ca = readFileSync(house.doors.ca, 'utf8');
  await house.api.call('POST', '/v1/fleets', { id: 'plant' });
  await house.api.call('POST', '/v1/fleets', { id: 'vault', approval: 'manual' });
  dir = mkdtempSync(join(tmpdir(), 'maker-'));
  maker = await registerMaker();
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

async function registerMaker(): Promise<ForeignCa> {
  const root = ForeignCa.root(dir, 'idevid');
  const { body } = await house.api.call('POST', '/v1/anchors/challenge', { name: 'idevid' });
  const registered = await house.api.call('POST', '/v1/anchors', {
    name: 'idevid',
    certificate: root.certificate,
    fleet: 'plant',
    mapping: [{ from: 'commonName' }],
    enrollment: 'enroll-only',
    proof: root.proofOf(body.nonce),
  });
  expect(registered.status).toBe(201);
  return root;
}

const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const pemOf = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const csrFor = async (id: string) => csrDer(await makeCsr(newKey(), id));

describe.each(['https', 'registry'] as const)('at the door %s', (door) => {
  const enroll = (csr: Buffer, by: { token?: string; identity?: { certificate: string; key: string } }) =>
    askEst(house.doors[door], 'simpleenroll', { ca, csr, ...by });

  test('a claim certificate enrolls as many as it is good for, and may do nothing else', async () => {
    const key = newKey();
    const ask = { csr: await makeCsr(key, 'line 4'), uses: 2, ttl: '1h' };
    const { body: claim } = await house.api.call('POST', '/v1/fleets/plant/claims', ask);
    const identity = { certificate: claim.certificate + claim.chain, key: pemOf(key) };
    const lost = await csrFor(`${door}-one`);
    const first = await enroll(lost, { identity });
    expect(first.status).toBe(200);
    expect((await enroll(lost, { identity })).text).toBe(first.text);
    expect((await enroll(await csrFor(`${door}-two`), { identity })).status).toBe(200);
    const third = await enroll(await csrFor(`${door}-three`), { identity });
    expect([third.status, third.code]).toEqual([401, 'claim-invalid']);
    const renewed = await askEst(house.doors[door], 'simplereenroll', { ca, csr: lost, identity });
    expect([renewed.status, renewed.code]).toEqual([401, 'unknown-certificate']);
  });

  test('where an operator decides, the answer is 202 until then, and the certificate after', async () => {
    const { body } = await house.api.call('POST', '/v1/fleets/vault/tokens', {});
    const id = `${door}-safe`;
    const csr = await csrFor(id);
    const waits = await enroll(csr, { token: body.token });
    expect(waits).toMatchObject({ status: 202, headers: { 'retry-after': '7' } });
    expect(waits.headers['content-type']).toMatch(/^text\/plain/);
    expect(waits.text).toMatch(/operator/);
    const { items } = (await house.api.call('GET', '/v1/enrollments?state=pending')).body;
    const mine = items.find(({ deviceId }: { deviceId: string }) => deviceId === id);
    await house.api.call('POST', `/v1/enrollments/${mine.id}/approve`);
    expect(await enroll(csr, { token: body.token })).toMatchObject({ status: 200 });
  });

  test('one that is denied is told so', async () => {
    const { body } = await house.api.call('POST', '/v1/fleets/vault/tokens', {});
    const id = `${door}-unwanted`;
    const csr = await csrFor(id);
    await enroll(csr, { token: body.token });
    const { items } = (await house.api.call('GET', '/v1/enrollments?state=pending')).body;
    const mine = items.find(({ deviceId }: { deviceId: string }) => deviceId === id);
    await house.api.call('POST', `/v1/enrollments/${mine.id}/deny`, { reason: 'scrapped' });
    const denied = await enroll(csr, { token: body.token });
    expect([denied.status, denied.code]).toEqual([403, 'approval-denied']);
  });

  test('a factory identity that is for enrollment alone fetches an operational one', async () => {
    const device = maker.leaf(`${door}-factory`, ca, {
      extensions: ['extendedKeyUsage='],
      notAfter: '99991231235959Z',
    });
    const other = await enroll(await csrFor(`${door}-stranger`), { identity: device });
    expect(other.status).toBe(403);
    expect((await enroll(await csrFor(device.id), { identity: device })).status).toBe(200);
    const stranger = ForeignCa.root(dir, `${door}-stranger`).leaf(`${door}-nobody`, ca);
    expect((await enroll(await csrFor(stranger.id), { identity: stranger })).status).toBe(401);
  });
});
