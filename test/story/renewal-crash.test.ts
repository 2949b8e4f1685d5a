/**
 * A renewal that is killed before any of its steps: afterwards the old certificate renews as before, the same CSR gets the
 * one certificate that is recorded, and no certificate is good that is not.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { renewalSteps } from '../../registry/authority/renewal.ts';
import { apiClient, type DeviceIdentity } from '../harness/api-client.ts';
import { end } from '../harness/house.ts';
import { keyAndCsr, renewAt } from '../harness/renew.ts';

const dir = mkdtempSync(join(tmpdir(), 'renewal-crash-'));
const devices = new Map<string, DeviceIdentity>();
afterAll(() => rmSync(dir, { recursive: true }));

interface Registry {
  child: ChildProcess;
  url: string;
  ca: string;
  token: string;
}

async function start(deadly?: string): Promise<Registry> {
  const args = ['test/harness/registry-child.ts', dir, ...(deadly ? [deadly] : [])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout! })) {
    if (!line.startsWith('ready ')) continue;
    const { registry, ca, adminTokenFile } = JSON.parse(line.slice(6)) as Record<string, string>;
    return {
      child,
      url: registry!,
      ca: readFileSync(ca!, 'utf8'),
      token: readFileSync(adminTokenFile!, 'utf8').trim(),
    };
  }
  throw new Error('the registry ended before it was ready');
}

beforeAll(async () => {
  const { child, url, ca, token } = await start();
  const api = apiClient(url, ca, token);
  for (const step of renewalSteps) devices.set(step, await api.enroll('plant', `crash-${step}`));
  await api.close();
  await end(child, 'SIGTERM');
  // Their time has come.
  const db = new Database(join(dir, 'registry.db'));
  db.exec('UPDATE certificates SET renew_after_ms = 0');
  db.close();
});

interface Row {
  state: string;
  reason: string | null;
  fingerprint: string | null;
}

test.each(renewalSteps)('killed before %s', { timeout: 60_000 }, async (step) => {
  const device = devices.get(step)!;
  const { csr } = await keyAndCsr(device.id);
  const first = await start(step);
  await expect(renewAt(first.url, device, csr)).rejects.toThrow();

  const second = await start();
  const answer = await renewAt(second.url, device, csr);
  expect(answer.status).toBe(201);
  // And once more, as if this answer had been lost too.
  expect((await renewAt(second.url, device, csr)).body.fingerprint).toBe(answer.body.fingerprint);
  const api = apiClient(second.url, second.ca, second.token);
  expect((await api.call('GET', '/v1/audit/verdict')).body.intact).toBe(true);
  await api.close();
  await end(second.child, 'SIGTERM');

  const db = new Database(join(dir, 'registry.db'), { readonly: true });
  const rows = db
    .prepare('SELECT state, reason, fingerprint FROM certificates WHERE device = ? ORDER BY reserved_ms')
    .all(device.id) as Row[];
  db.close();
  expect(rows.filter(({ state }) => state === 'issued').map(({ fingerprint }) => fingerprint)).toEqual([
    device.fingerprint,
    answer.body.fingerprint,
  ]);
  for (const row of rows.filter(({ state }) => state !== 'issued'))
    expect(row).toMatchObject({ state: 'revoked', reason: 'abandoned', fingerprint: null });
  expect(rows.length).toBe(['sign', 'compare', 'record'].includes(step) ? 3 : 2);
});
