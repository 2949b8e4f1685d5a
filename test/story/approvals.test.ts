/** Fleets with manual approval: a device waits for an operator, over restarts, and asks again with the same CSR. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { apiClient } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';

const dir = mkdtempSync(join(tmpdir(), 'approvals-'));
const config = `registry:
  maxPendingEnrollments: 12
  approvalRetry: 7s
  failedAuthRate: 1000
`;
let house: House;
const call: House['api']['call'] = (...args) => house.api.call(...args);

beforeAll(async () => {
  house = await House.start({ dir, config });
  await call('POST', '/v1/fleets', { id: 'vault', approval: 'manual' });
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const csrOf = (id: string) => makeCsr(newKey(), id);
const tokenFor = async (body: object = {}): Promise<{ id: string; token: string }> =>
  (await call('POST', '/v1/fleets/vault/tokens', body)).body;
const enroll = (deviceId: string, csr: string, token: string, headers = {}) =>
  call(
    'POST',
    '/v1/enroll',
    { deviceId, csr, attributes: { site: 'Turin' } },
    {
      authorization: `Bearer ${token}`,
      ...headers,
    },
  );
const usesLeft = async (id: string): Promise<number> =>
  (await call('GET', '/v1/fleets/vault/tokens')).body.items.find((each: { id: string }) => each.id === id)
    .usesLeft;
const decide = (id: string, verb: 'approve' | 'deny', reason?: string) =>
  call('POST', `/v1/enrollments/${id}/${verb}`, reason === undefined ? undefined : { reason });

test('a device waits, over a restart, and gets its certificate once it is approved', async () => {
  const { id: tokenId, token } = await tokenFor();
  const csr = await csrOf('safe-1');
  const first = await enroll('safe-1', csr, token);
  expect(first).toMatchObject({ status: 202, body: { code: 'approval-pending', status: 202 } });
  expect(first.headers['retry-after']).toBe('7');
  expect(first.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(await usesLeft(tokenId)).toBe(0);
  const again = await enroll('safe-1', csr, token);
  expect(again).toMatchObject({ status: 202, body: { enrollment: first.body.enrollment } });
  // Nothing came to be meanwhile.
  expect((await call('GET', '/v1/devices/safe-1')).status).toBe(404);

  await house[Symbol.asyncDispose]();
  house = await House.start({ dir, config });
  const { body } = await call('GET', '/v1/enrollments?state=pending&fleet=vault');
  expect(body.items).toMatchObject([
    {
      id: first.body.enrollment,
      deviceId: 'safe-1',
      source: `token:${tokenId}`,
      attributes: { site: 'Turin' },
    },
  ]);
  expect((await enroll('safe-1', csr, token)).status).toBe(202);
  const approved = await decide(first.body.enrollment, 'approve', 'seen it');
  expect(approved.body).toMatchObject({ state: 'approved', reason: 'seen it', decidedBy: 'api:admin' });
  expect((await decide(first.body.enrollment, 'approve')).status).toBe(409);

  await house[Symbol.asyncDispose]();
  house = await House.start({ dir, config });
  const issued = await enroll('safe-1', csr, token);
  expect(issued.status).toBe(201);
  expect(await enroll('safe-1', csr, token)).toMatchObject({ status: 201, body: issued.body });
  expect((await call('GET', '/v1/devices/safe-1')).body).toMatchObject({
    state: 'active',
    attributes: { site: 'Turin' },
  });
  expect((await enroll('safe-1', await csrOf('safe-1'), token)).body.code).toBe('token-spent');
});

test('twenty that come back at once for one approval: one certificate', async () => {
  const { token } = await tokenFor();
  const csr = await csrOf('safe-2');
  const asked = await Promise.all(Array.from({ length: 20 }, () => enroll('safe-2', csr, token)));
  expect(new Set(asked.map(({ body }) => body.enrollment)).size).toBe(1);
  await decide(asked[0]!.body.enrollment, 'approve');
  const answers = await Promise.all(Array.from({ length: 20 }, () => enroll('safe-2', csr, token)));
  const issued = answers.filter(({ status }) => status === 201);
  expect(issued.length).toBeGreaterThan(0);
  expect(new Set(issued.map(({ body }) => body.fingerprint)).size).toBe(1);
  expect(new Set(answers.map(({ status }) => status))).not.toContain(500);
  const { body } = await call('GET', '/v1/certificates?device=safe-2');
  expect(body.items).toHaveLength(1);
});

test('one that is denied hears why, and its use is given back', async () => {
  const { id, token } = await tokenFor();
  const csr = await csrOf('shady');
  const { body } = await enroll('shady', csr, token);
  expect(await usesLeft(id)).toBe(0);
  expect((await decide(body.enrollment, 'deny', 'nobody ordered it')).body.state).toBe('denied');
  expect(await usesLeft(id)).toBe(1);
  const refused = await enroll('shady', csr, token);
  expect(refused).toMatchObject({ status: 403, body: { code: 'approval-denied' } });
  expect(refused.body.detail).toMatch(/nobody ordered it/);
  expect((await decide(body.enrollment, 'approve')).status).toBe(409);
  const other = await enroll('honest', await csrOf('honest'), token);
  expect(other.status).toBe(202);
  await decide(other.body.enrollment, 'approve');
  expect((await decide(other.body.enrollment, 'deny')).body.state).toBe('denied');
  expect(await usesLeft(id)).toBe(1);
});

test('a claim waits like a token', async () => {
  const key = newKey();
  const ask = { csr: await makeCsr(key, 'line'), uses: 1, ttl: '1h' };
  const { body: claim } = await call('POST', '/v1/fleets/vault/claims', ask);
  const line = apiClient(house.doors.registry, readFileSync(house.doors.ca, 'utf8'), '', {
    cert: claim.certificate + claim.chain,
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  });
  const body = { deviceId: 'lined', csr: await csrOf('lined') };
  const waits = await line.call('POST', '/v1/enroll', body);
  expect(waits.status).toBe(202);
  await decide(waits.body.enrollment, 'approve');
  const issued = await line.call('POST', '/v1/enroll', body);
  expect(issued.status).toBe(201);
  const { items } = (await call('GET', '/v1/fleets/vault/claims')).body;
  expect(items).toMatchObject([{ id: claim.id, usesLeft: 0, enrolled: 1 }]);
  // What a claim was issued after an approval goes with it, too.
  const revoke = `/v1/claims/${claim.id}/revoke`;
  expect((await call('POST', revoke, { devices: true, dryRun: true })).body).toMatchObject({ devices: 1 });
  const receipt = await call('POST', revoke, { devices: true });
  expect(receipt.body.certificates).toEqual([claim.fingerprint, issued.body.fingerprint]);
  expect((await call('GET', '/v1/devices/lined')).body.state).toBe('revoked');
  await line.close();
});

describe('nothing is put in for', () => {
  test('a CSR that breaks the policy', async () => {
    const { id, token } = await tokenFor();
    expect((await enroll('rule', await csrOf('other'), token)).body.code).toBe('csr-subject');
    expect(await usesLeft(id)).toBe(1);
  });

  test('a credential that never was good', async () => {
    expect((await enroll('x', await csrOf('x'), 'fge_nothing')).body.code).toBe('token-invalid');
    const { token } = await tokenFor({ ttl: '1ms' });
    await eventually(async () =>
      expect((await enroll('x', await csrOf('x'), token)).body.code).toBe('token-expired'),
    );
  });

  test('and a stranger with the CSR of another hears nothing of it', async () => {
    const [mine, theirs] = [await tokenFor(), await tokenFor({ ttl: '1s' })];
    const csr = await csrOf('mine');
    const { body } = await enroll('mine', csr, mine.token);
    await eventually(async () =>
      expect((await enroll('mine', csr, theirs.token)).body.code).toBe('token-expired'),
    );
    await decide(body.enrollment, 'deny');
  });
});

test('an Idempotency-Key does not keep the answer that one has to wait', async () => {
  const { token } = await tokenFor();
  const csr = await csrOf('patient');
  const key = { 'idempotency-key': 'patient-1' };
  const { body } = await enroll('patient', csr, token, key);
  await decide(body.enrollment, 'approve');
  expect((await enroll('patient', csr, token, key)).status).toBe(201);
});

test('as many wait as may wait, and no more; a decision makes room', async () => {
  const { id, token } = await tokenFor({ uses: 50 });
  const waiting = (await call('GET', '/v1/enrollments?state=pending')).body.items.length;
  const ids: string[] = [];
  for (let n = waiting; n < 12; n++) {
    const { status, body } = await enroll(`crowd-${n}`, await csrOf(`crowd-${n}`), token);
    expect(status).toBe(202);
    ids.push(body.enrollment);
  }
  const left = await usesLeft(id);
  const full = await enroll('crowd-12', await csrOf('crowd-12'), token);
  expect(full).toMatchObject({ status: 429, body: { code: 'quota-exceeded' } });
  expect(full.headers['retry-after']).toBe('7');
  expect(await usesLeft(id)).toBe(left);
  await decide(ids[0]!, 'deny');
  expect((await enroll('crowd-12', await csrOf('crowd-12'), token)).status).toBe(202);
});

test('the list pages by cursor, without losing or repeating', async () => {
  const seen: string[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await call('GET', `/v1/enrollments?limit=4${cursor && `&cursor=${cursor}`}`);
    seen.push(...body.items.map(({ id }: { id: string }) => id));
    if (!body.nextCursor) break;
    cursor = encodeURIComponent(body.nextCursor);
  }
  expect(seen.length).toBeGreaterThan(12);
  expect(new Set(seen).size).toBe(seen.length);
});

test('what waits too long is forgotten, and its use given back', async () => {
  await house[Symbol.asyncDispose]();
  house = await House.start({ dir, config: `${config}  approvalTtl: 2s\n` });
  const { id, token } = await tokenFor();
  const csr = await csrOf('late');
  // Those of before make room first.
  const body = await eventually(async () => {
    const waits = await enroll('late', csr, token);
    expect(waits.status).toBe(202);
    return waits.body;
  });
  expect(await usesLeft(id)).toBe(0);
  await eventually(async () => expect((await decide(body.enrollment, 'approve')).status).toBe(404));
  const other = await tokenFor();
  const again = await enroll('late', csr, other.token);
  expect(again.status).toBe(202);
  expect(again.body.enrollment).not.toBe(body.enrollment);
  expect(await usesLeft(id)).toBe(1);
  expect((await call('GET', '/v1/audit/verdict')).body.intact).toBe(true);
});
