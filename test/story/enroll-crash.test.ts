/**
 * Attack 30: an enrollment that is killed before any of its steps. No certificate is ever out that is not recorded, no
 * serial number used twice, and the token or claim is neither lost nor good for more than it was.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import { afterAll, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { enrollmentSteps } from '../../registry/authority/enroll.ts';
import { type ApiClient, apiClient } from '../harness/api-client.ts';
import { end } from '../harness/house.ts';

const dir = mkdtempSync(join(tmpdir(), 'crash-'));
afterAll(() => rmSync(dir, { recursive: true }));

interface Started {
  child: ChildProcess;
  api: ApiClient;
  /** A client that shows a certificate, and no token. */
  as: (identity: { cert: string; key: string }) => ApiClient;
}

async function start(deadly?: string): Promise<Started> {
  const args = ['test/harness/registry-child.ts', dir, ...(deadly ? [deadly] : [])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout! })) {
    if (!line.startsWith('ready ')) continue;
    const { registry, ca, adminTokenFile } = JSON.parse(line.slice(6)) as Record<string, string>;
    const token = readFileSync(adminTokenFile!, 'utf8').trim();
    const trust = readFileSync(ca!, 'utf8');
    const as: Started['as'] = (identity) => apiClient(registry!, trust, '', identity);
    return { child, api: apiClient(registry!, trust, token), as };
  }
  throw new Error('the registry ended before it was ready');
}

test.each(enrollmentSteps)('killed before %s', async (step) => {
  const deviceId = `crash-${step}`;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = await makeCsr(privateKey, deviceId);

  const first = await start(step);
  await first.api.call('POST', '/v1/fleets', { id: 'plant' });
  const { body: token } = await first.api.call('POST', '/v1/fleets/plant/tokens', { deviceId });
  const authorization = { authorization: `Bearer ${token.token}` };
  await expect(first.api.call('POST', '/v1/enroll', { deviceId, csr }, authorization)).rejects.toThrow();
  await first.api.close();

  const second = await start();
  const enroll = () => second.api.call('POST', '/v1/enroll', { deviceId, csr }, authorization);
  const again = await enroll();
  expect(again.status).toBe(201);
  expect((await enroll()).body.code).toBe('token-spent');
  expect((await second.api.call('GET', '/v1/audit/verdict')).body.intact).toBe(true);
  await second.api.close();
  await end(second.child, 'SIGTERM');

  expectWholeHistory(deviceId, again.body.fingerprint, step);
});

test.each(enrollmentSteps)('killed before %s, with a claim of one use', async (step) => {
  const deviceId = `claimed-${step}`;
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const lineKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const csr = await makeCsr(key, deviceId);

  const first = await start(step);
  await first.api.call('POST', '/v1/fleets', { id: 'plant' });
  const ask = { csr: await makeCsr(lineKey, 'line'), uses: 1, ttl: '1h' };
  const { body: claim } = await first.api.call('POST', '/v1/fleets/plant/claims', ask);
  const identity = {
    cert: claim.certificate + claim.chain,
    key: lineKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
  const line = first.as(identity);
  await expect(line.call('POST', '/v1/enroll', { deviceId, csr })).rejects.toThrow();
  await Promise.all([line.close(), first.api.close()]);

  const second = await start();
  const client = second.as(identity);
  const again = await client.call('POST', '/v1/enroll', { deviceId, csr });
  expect(again.status).toBe(201);
  const other = await makeCsr(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, 'other');
  expect((await client.call('POST', '/v1/enroll', { deviceId: 'other', csr: other })).body.code).toBe(
    'claim-invalid',
  );
  const { items } = (await second.api.call('GET', '/v1/fleets/plant/claims')).body;
  expect(items.find(({ id }: { id: string }) => id === claim.id)).toMatchObject({ usesLeft: 0, enrolled: 1 });
  expect((await second.api.call('GET', '/v1/audit/verdict')).body.intact).toBe(true);
  await Promise.all([client.close(), second.api.close()]);
  await end(second.child, 'SIGTERM');
  expectWholeHistory(deviceId, again.body.fingerprint, step);
});

test.each(enrollmentSteps)('killed before %s, when it was approved', async (step) => {
  const deviceId = `approved-${step}`;
  const csr = await makeCsr(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, deviceId);

  const quiet = await start();
  await quiet.api.call('POST', '/v1/fleets', { id: 'vault', approval: 'manual' });
  const { body: token } = await quiet.api.call('POST', '/v1/fleets/vault/tokens', {});
  const authorization = { authorization: `Bearer ${token.token}` };
  const ask = (api: ApiClient) => api.call('POST', '/v1/enroll', { deviceId, csr }, authorization);
  const { body: waits } = await ask(quiet.api);
  await quiet.api.call('POST', `/v1/enrollments/${waits.enrollment}/approve`);
  await quiet.api.close();
  await end(quiet.child, 'SIGTERM');

  const first = await start(step);
  await expect(ask(first.api)).rejects.toThrow();
  await first.api.close();

  const second = await start();
  const again = await ask(second.api);
  expect(again.status).toBe(201);
  expect((await ask(second.api)).body).toEqual(again.body);
  await second.api.close();
  await end(second.child, 'SIGTERM');
  expectWholeHistory(deviceId, again.body.fingerprint, step);
});

function expectWholeHistory(deviceId: string, fingerprint: string, step: string): void {
  const db = new Database(join(dir, 'registry.db'), { readonly: true });
  const rows = db
    .prepare('SELECT state, reason, fingerprint FROM certificates WHERE device = ? ORDER BY reserved_ms')
    .all(deviceId) as { state: string; reason: string | null; fingerprint: string | null }[];
  db.close();
  expect(rows.filter(({ state }) => state === 'issued')).toEqual([
    expect.objectContaining({ fingerprint: fingerprint }),
  ]);
  // What the crash left is named, and can never be connected with.
  for (const row of rows.filter(({ state }) => state !== 'issued'))
    expect(row).toMatchObject({ state: 'revoked', reason: 'abandoned', fingerprint: null });
  expect(rows.length).toBe(['sign', 'compare', 'record'].includes(step) ? 2 : 1);
}
