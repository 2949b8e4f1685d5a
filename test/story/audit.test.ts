/** The audit: every write of the API leaves who, what, before and after; and a copy of it is checked with no server. */
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { certificatePem } from '#common/x509/pem.ts';
import type { ApiAnswer, ApiClient, DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { cn, forgeCa } from '../harness/forged-certificate.ts';
import { command, House } from '../harness/house.ts';
import { renewAt } from '../harness/renew.ts';

let house: House;
let api: ApiClient;
beforeAll(async () => {
  house = await House.start();
  api = house.api;
  await api.call('POST', '/v1/fleets', { id: 'plant' });
});
afterAll(() => house[Symbol.asyncDispose]());

interface Entry {
  id: number;
  actor: string;
  action: string;
  target: string;
  detail: { before?: unknown; after?: unknown };
}

const csrOf = (name: string) => makeCsr(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, name);
const entriesSince = async (since: number): Promise<Entry[]> =>
  (await api.call('GET', `/v1/audit?since=${since}&limit=1000`)).body.items;

/** How a write is called: what it needs before, and the path and body that then do it. */
interface Call {
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** For a call that is not the administrator's. */
  send?: () => Promise<ApiAnswer>;
}
let names = 0;
const fresh = (word: string) => `${word}-${++names}`;
const device = (): Promise<DeviceIdentity> => api.enroll('plant', fresh('device'));

/** A manufacturer's CA, to be trusted. */
const anchorOrder = () => ({
  name: fresh('maker'),
  certificate: certificatePem(forgeCa({ subject: cn(fresh('Maker')) }).der),
  fleet: 'plant',
  mapping: [{ from: 'commonName' }],
  enrollment: 'registered',
  possession: 'waived',
});

/** An enrollment that an operator is to decide. */
async function waiting(): Promise<string> {
  await api.call('POST', '/v1/fleets', { id: 'vault', approval: 'manual' });
  const deviceId = fresh('device');
  const { body } = await api.call('POST', '/v1/fleets/vault/tokens', {});
  const headers = { authorization: `Bearer ${body.token}` };
  await api.call('POST', '/v1/enroll', { deviceId, csr: await csrOf(deviceId) }, headers);
  const { items } = (await api.call('GET', '/v1/enrollments?state=pending')).body;
  return items.at(-1).id;
}

/** Every write of the API. One that is added must be added here, and with it its audit entry. */
const writes: Record<string, { action: string; call: () => Promise<Call> }> = {
  'POST /v1/fleets': {
    action: 'fleet.create',
    call: async () => ({ path: '/v1/fleets', body: { id: fresh('fleet') } }),
  },
  'PATCH /v1/fleets/{fleet}': {
    action: 'fleet.change',
    call: async () => ({ path: '/v1/fleets/plant', body: { grace: '7d' } }),
  },
  'POST /v1/fleets/{fleet}/tokens': {
    action: 'token.create',
    call: async () => ({ path: '/v1/fleets/plant/tokens', body: {} }),
  },
  'DELETE /v1/tokens/{token}': {
    action: 'token.revoke',
    call: async () => {
      const { body } = await api.call('POST', '/v1/fleets/plant/tokens', {});
      return { path: `/v1/tokens/${body.id}` };
    },
  },
  'PUT /v1/roles/{role}': {
    action: 'role.put',
    call: async () => ({ path: `/v1/roles/${fresh('role')}`, body: { rules: [] } }),
  },
  'POST /v1/enroll': {
    action: 'certificate.issue',
    call: async () => {
      const deviceId = fresh('device');
      const { body } = await api.call('POST', '/v1/fleets/plant/tokens', {});
      const headers = { authorization: `Bearer ${body.token}` };
      return { path: '/v1/enroll', body: { deviceId, csr: await csrOf(deviceId) }, headers };
    },
  },
  'PATCH /v1/devices/{device}': {
    action: 'device.change',
    call: async () => ({
      path: `/v1/devices/${(await device()).id}`,
      body: { attributes: { site: 'north' } },
    }),
  },
  'DELETE /v1/devices/{device}': {
    action: 'device.delete',
    call: async () => ({ path: `/v1/devices/${(await device()).id}` }),
  },
  'POST /v1/devices/{device}/disable': {
    action: 'device.disable',
    call: async () => ({ path: `/v1/devices/${(await device()).id}/disable` }),
  },
  'POST /v1/devices/{device}/enable': {
    action: 'device.enable',
    call: async () => {
      const { id } = await device();
      await api.call('POST', `/v1/devices/${id}/disable`);
      return { path: `/v1/devices/${id}/enable` };
    },
  },
  'POST /v1/devices/{device}/revoke': {
    action: 'device.revoke',
    call: async () => ({ path: `/v1/devices/${(await device()).id}/revoke` }),
  },
  'POST /v1/certificates/{fingerprint}/revoke': {
    action: 'certificate.revoke',
    call: async () => ({ path: `/v1/certificates/${(await device()).fingerprint}/revoke` }),
  },
  'POST /v1/certificates/{fingerprint}/reinstate': {
    action: 'certificate.reinstate',
    call: async () => {
      const path = `/v1/certificates/${(await device()).fingerprint}`;
      await api.call('POST', `${path}/revoke`, { reason: 'certificateHold' });
      return { path: `${path}/reinstate` };
    },
  },
  'POST /v1/devices:revoke': {
    action: 'certificates.revoke',
    call: async () => ({ path: '/v1/devices:revoke', body: { devices: [(await device()).id] } }),
  },
  'POST /v1/certificates:revoke': {
    action: 'certificates.revoke',
    call: async () => ({
      path: '/v1/certificates:revoke',
      body: { fingerprints: [(await device()).fingerprint] },
    }),
  },
  'POST /v1/fleets/{fleet}/revoke': {
    action: 'certificates.revoke',
    call: async () => {
      await api.enroll('doomed', fresh('device'));
      return { path: '/v1/fleets/doomed/revoke' };
    },
  },
  'POST /v1/issuers/{issuer}/revoke-certificates': {
    action: 'certificates.revoke',
    call: async () => {
      await device();
      return { path: '/v1/issuers/issuing/revoke-certificates' };
    },
  },
  'POST /v1/role-assignments': {
    action: 'role-assignment.create',
    call: async () => ({ path: '/v1/role-assignments', body: { match: { site: 'x' }, role: 'device' } }),
  },
  'DELETE /v1/role-assignments/{assignment}': {
    action: 'role-assignment.delete',
    call: async () => {
      const order = { match: { site: 'y' }, role: 'device' };
      const { body } = await api.call('POST', '/v1/role-assignments', order);
      return { path: `/v1/role-assignments/${body.id}` };
    },
  },
  'POST /v1/operators': {
    action: 'operator.create',
    call: async () => {
      const name = fresh('operator');
      return { path: '/v1/operators', body: { name, role: 'viewer', csr: await csrOf(name) } };
    },
  },
  'DELETE /v1/operators/{operator}': {
    action: 'operator.revoke',
    call: async () => {
      const name = fresh('operator');
      await api.call('POST', '/v1/operators', { name, role: 'viewer', csr: await csrOf(name) });
      return { path: `/v1/operators/${name}` };
    },
  },
  'POST /v1/api-tokens': {
    action: 'api-token.create',
    call: async () => ({ path: '/v1/api-tokens', body: { name: 'ci', role: 'viewer' } }),
  },
  'DELETE /v1/api-tokens/{id}': {
    action: 'api-token.revoke',
    call: async () => {
      const { body } = await api.call('POST', '/v1/api-tokens', { name: 'ci', role: 'viewer' });
      return { path: `/v1/api-tokens/${body.id}` };
    },
  },
  'PUT /v1/profiles/{profile}': {
    action: 'profile.put',
    call: async () => ({ path: `/v1/profiles/${fresh('profile')}`, body: { validity: '30d' } }),
  },
  'POST /v1/devices:import': {
    action: 'device.register',
    call: async () => ({
      path: '/v1/devices:import',
      body: { id: fresh('device'), fleet: 'plant' },
      headers: { 'content-type': 'application/x-ndjson' },
    }),
  },
  'POST /v1/renew': {
    action: 'certificate.issue',
    call: async () => {
      const renewal = { from: 0.0001, to: 0.0001, retireAfter: '1h' };
      await api.call('PUT', '/v1/profiles/soon', { validity: '1h', renewal });
      await api.call('POST', '/v1/fleets', { id: 'soon', profile: 'soon' });
      const old = await api.enroll('soon', fresh('device'));
      const csr = await csrOf(old.id);
      // Its window begins a moment after it was issued.
      const send = () =>
        eventually(async () => {
          const answer = await renewAt(house.doors.registry, old, csr);
          expect(answer.status).not.toBe(429);
          return answer;
        });
      return { path: '/v1/renew', send };
    },
  },
  'POST /v1/fleets/{fleet}/claims': {
    action: 'claim.create',
    call: async () => ({
      path: '/v1/fleets/plant/claims',
      body: { csr: await csrOf('line'), uses: 5, ttl: '1h' },
    }),
  },
  'POST /v1/claims/{claim}/revoke': {
    action: 'claim.revoke',
    call: async () => {
      const { body } = await api.call('POST', '/v1/fleets/plant/claims', {
        csr: await csrOf('line'),
        uses: 5,
        ttl: '1h',
      });
      return { path: `/v1/claims/${body.id}/revoke` };
    },
  },
  'POST /v1/enrollments/{enrollment}/approve': {
    action: 'enrollment.approve',
    call: async () => ({ path: `/v1/enrollments/${await waiting()}/approve` }),
  },
  'POST /v1/enrollments/{enrollment}/deny': {
    action: 'enrollment.deny',
    call: async () => ({ path: `/v1/enrollments/${await waiting()}/deny` }),
  },
  'POST /v1/anchors': {
    action: 'anchor.add',
    call: async () => ({ path: '/v1/anchors', body: anchorOrder() }),
  },
  'DELETE /v1/anchors/{anchor}': {
    action: 'anchor.remove',
    call: async () => {
      const order = anchorOrder();
      await api.call('POST', '/v1/anchors', order);
      return { path: `/v1/anchors/${order.name}` };
    },
  },
  'POST /v1/gateways': {
    action: 'gateway.enroll',
    call: async () => ({
      path: '/v1/gateways',
      body: { name: 'south', csr: await csrOf('south'), names: ['localhost'] },
    }),
  },
};

/** They ask, or report what a gateway saw or did: nothing is decided by them. */
const silent = [
  'POST /v1/anchors/challenge',
  'POST /v1/policies:test',
  'POST /v1/roles/{role}:preview',
  'POST /v1/gateways/{gateway}/asks/{kind}',
  'POST /v1/gateways/{gateway}/answers',
];

test('every write of the API is known here, and no other', async () => {
  const { paths } = (await api.call('GET', '/openapi.json')).body as { paths: Record<string, object> };
  const mutating = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => !['get', 'head'].includes(method))
      .map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(mutating.sort()).toEqual([...Object.keys(writes), ...silent].sort());
});

test.each(Object.entries(writes))(
  '%s leaves an entry with who, what, before and after',
  async (name, { action, call }) => {
    const { path, body, headers, send } = await call();
    const { count } = (await api.call('GET', '/v1/audit/head')).body;
    const answer = await (send?.() ?? api.call(name.split(' ')[0]!, path, body, headers));
    expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
    const entry = (await entriesSince(count)).find((each) => each.action === action)!;
    expect(entry, `no ${action}`).toBeDefined();
    expect(entry.actor).toMatch(/^(api:admin|token:.+|certificate:.+)$/);
    expect(entry.target).not.toBe('');
    expect(entry.detail).toHaveProperty('before');
    expect(entry.detail).toHaveProperty('after');
    expect(entry.detail.before).not.toEqual(entry.detail.after);
  },
);

test('what an entry tells is what was: a device before and after', async () => {
  const { id, fingerprint } = await device();
  await api.call('PATCH', `/v1/devices/${id}`, { attributes: { site: 'north' } });
  const { count } = (await api.call('GET', '/v1/audit/head')).body;
  await api.call('POST', `/v1/devices/${id}/revoke`, { reason: 'keyCompromise' });
  const [entry] = await entriesSince(count);
  const still = { role: null, assignedRole: null, attributes: { site: 'north' } };
  expect(entry).toMatchObject({
    actor: 'api:admin',
    action: 'device.revoke',
    target: id,
    detail: {
      reason: 'keyCompromise',
      before: { state: 'active', ...still, certificates: { [fingerprint]: 'issued' } },
      after: { state: 'revoked', ...still, certificates: { [fingerprint]: 'revoked' } },
    },
  });
});

test('no secret is in the audit', async () => {
  const { body } = await api.call('POST', '/v1/fleets/plant/tokens', {});
  const admin = readFileSync(house.doors.adminTokenFile, 'utf8').trim();
  const all = JSON.stringify(await entriesSince(0));
  expect(all).not.toContain(body.token);
  expect(all).not.toContain(admin);
});

test('it pages by the id of the last entry', async () => {
  const whole = await entriesSince(0);
  const seen: Entry[] = [];
  for (let since = 0; ; since = seen.at(-1)!.id) {
    const { items } = (await api.call('GET', `/v1/audit?since=${since}&limit=7`)).body;
    if (items.length === 0) break;
    seen.push(...items);
  }
  expect(seen).toEqual(whole);
});

describe('a copy', () => {
  const run = (...args: string[]) => {
    const done = spawnSync(process.execPath, [command, 'audit', ...args], {
      cwd: house.dir,
      encoding: 'utf8',
    });
    return { code: done.status, said: done.stdout + done.stderr, json: () => JSON.parse(done.stdout) };
  };
  const file = (name: string) => join(house.dir, name);
  /** Lines of an export: head, rows, and the end. */
  const lines = () => readFileSync(file('audit.ndjson'), 'utf8').trimEnd().split('\n');
  const write = (name: string, list: readonly string[]) => writeFileSync(file(name), `${list.join('\n')}\n`);
  let head: { count: number; hash: string };

  beforeAll(async () => {
    head = (await api.call('GET', '/v1/audit/head')).body;
    expect(run('export', 'audit.ndjson').code).toBe(0);
  });

  test('begins with where the chain begins and ends with its count and last hash', () => {
    const all = lines();
    expect(JSON.parse(all[0]!)).toMatchObject({ audit: 1, genesis: '0'.repeat(64) });
    expect(JSON.parse(all.at(-1)!)).toEqual({ count: head.count, hash: head.hash });
    expect(all).toHaveLength(head.count + 2);
  });

  test('is verified without a server', () => {
    const done = run('verify', 'audit.ndjson', '--data', '/nonexistent', '--json');
    expect(done.code, done.said).toBe(0);
    expect(done.json()).toMatchObject({ intact: true, entries: head.count, head: { hash: head.hash } });
    expect(run('verify', 'audit.ndjson', '--head', head.hash).code).toBe(0);
  });

  test.each<[string, (all: string[]) => string[], string, number]>([
    ['changed', (all) => all.with(5, all[5]!.replace('"actor":"', '"actor":"not-')), 'changed', 5],
    ['removed', (all) => all.toSpliced(5, 1), 'removed', 5],
    ['put in twice', (all) => all.toSpliced(6, 0, all[5]!), 'inserted', 5],
    ['swapped', (all) => all.with(5, all[6]!).with(6, all[5]!), 'reordered', 5],
  ])('a row that was %s is found and located', (name, tamper, what, at) => {
    write(`${name}.ndjson`, tamper(lines()));
    const done = run('verify', `${name}.ndjson`, '--json');
    expect(done.code).toBe(1);
    expect(done.json()).toMatchObject({ intact: false, brokenAt: at, finding: { what } });
    expect(run('verify', `${name}.ndjson`).said).toMatch(new RegExp(`${at}`));
  });

  test('one that was cut off is found by its end line, and with a forged end line by the head', () => {
    const all = lines();
    write('cut.ndjson', all.slice(0, -3));
    expect(run('verify', 'cut.ndjson').code).toBe(1);
    const rows = all.slice(0, -3);
    const last = JSON.parse(rows.at(-1)!) as { id: number; hash: string };
    write('forged.ndjson', [...rows, JSON.stringify({ count: last.id, hash: last.hash })]);
    expect(run('verify', 'forged.ndjson').code).toBe(0);
    const done = run('verify', 'forged.ndjson', '--head', head.hash, '--json');
    expect(done.code).toBe(1);
    expect(done.json()).toMatchObject({ finding: { what: 'truncated', at: last.id + 1 } });
  });

  test('a file that is no export is refused with a sentence', () => {
    write('other.ndjson', ['{"hello":1}']);
    const done = run('verify', 'other.ndjson');
    expect(done.code).toBe(1);
    expect(done.said).toMatch(/audit export/);
  });

  test('of the database is verified too, and what was done to it is located', () => {
    const path = file('copy.db');
    const live = new Database(join(house.dir, 'data', 'registry.db'), { readonly: true });
    live.exec(`VACUUM INTO '${path}'`);
    live.close();
    const whole = run('verify', '--database', 'copy.db', '--json');
    expect(whole.code, whole.said).toBe(0);
    expect(whole.json()).toMatchObject({ intact: true, entries: head.count });
    const tampered: [string, number, string][] = [
      [`UPDATE audit SET detail = '{}' WHERE id = 4`, 4, 'changed'],
      ['DELETE FROM audit WHERE id = 4', 4, 'removed'],
      [`DELETE FROM audit WHERE id > ${head.count - 2}`, head.count - 1, 'truncated'],
    ];
    for (const [statement, at, what] of tampered) {
      copyFileSync(path, file('tampered.db'));
      const db = new Database(file('tampered.db'));
      db.exec(statement);
      db.close();
      const done = run('verify', '--database', 'tampered.db', '--head', head.hash, '--json');
      expect(done.json()).toMatchObject({ intact: false, brokenAt: at, finding: { what } });
    }
  });
});
