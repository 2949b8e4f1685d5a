/** The audit: every write of the API leaves who, what, before and after. */
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { certificatePem } from '#common/x509/pem.ts';
import type { ApiAnswer, ApiClient, DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { cn, forgeCa } from '../harness/forged-certificate.ts';
import { House } from '../harness/house.ts';
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

async function issuer(): Promise<string> {
  const { body } = await api.call('POST', '/v1/issuers', { name: fresh('issuer') });
  return body.id;
}

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
  'POST /v1/issuers': {
    action: 'issuer.add',
    call: async () => ({ path: '/v1/issuers', body: { name: fresh('issuer') } }),
  },
  'POST /v1/issuers/{issuer}/prefer': {
    action: 'issuer.prefer',
    call: async () => ({ path: `/v1/issuers/${await issuer()}/prefer` }),
  },
  'POST /v1/issuers/{issuer}/drain': {
    action: 'issuer.drain',
    call: async () => ({ path: `/v1/issuers/${await issuer()}/drain` }),
  },
  'DELETE /v1/issuers/{issuer}': {
    action: 'issuer.remove',
    call: async () => {
      const id = await issuer();
      await api.call('POST', `/v1/issuers/${id}/drain`);
      return { path: `/v1/issuers/${id}?force=true` };
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
  'POST /v1/devices/{device}/commands': {
    action: 'command.send',
    call: async () => ({ path: `/v1/devices/${(await device()).id}/commands`, body: { name: 'open' } }),
  },
  'DELETE /v1/devices/{device}/commands/{command}': {
    action: 'command.withdraw',
    call: async () => {
      const path = `/v1/devices/${(await device()).id}/commands`;
      const { body } = await api.call('POST', path, { name: 'open' });
      return { path: `${path}/${body.commandId}` };
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

/** Takes a certificate that an offline root has signed: it leaves the entry of an issuer that is added. */
const elsewhere = ['POST /v1/issuers/{issuer}/certificate'];

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
  expect(mutating.sort()).toEqual([...Object.keys(writes), ...elsewhere, ...silent].sort());
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
