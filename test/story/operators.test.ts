/** Operators and backends by client certificate: in a role of the API, or in that of a document; revoked, they are out. */
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import type { ApiClient } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { command, House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { clientWith, operatorClient } from '../harness/operator-client.ts';

let house: House;
let api: ApiClient;
beforeAll(async () => {
  house = await House.start();
  api = house.api;
  await api.call('POST', '/v1/fleets', { id: 'plant' });
  await api.enroll('plant', 'pump-1');
});
afterAll(() => house[Symbol.asyncDispose]());

const operator = (name: string, role: string, more = {}) =>
  operatorClient(api, house.doors.registry, name, role, more);
const csrOf = (name: string) => makeCsr(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, name);

test('the certificate says who it is, is for clients alone, and is in the books like any other', async () => {
  await using ada = await operator('ada', 'viewer', { ttl: '30d' });
  const leaf = new X509Certificate(ada.certificate);
  expect(leaf.subjectAltName).toBe('URI:spiffe://fleetgate.local/operator/ada');
  expect(leaf.subject).toBe('CN=ada');
  expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(leaf.ca).toBe(false);
  const { body } = await api.call('GET', `/v1/certificates/${ada.fingerprint}`);
  expect(body).toMatchObject({ state: 'issued', issuer: 'issuing', device: '' });
  const { items } = (await api.call('GET', '/v1/operators')).body;
  expect(items).toMatchObject([
    { name: 'ada', role: 'viewer', fingerprint: ada.fingerprint, revoked: false },
  ]);
});

test('each role of the API is what it is by token', async () => {
  const may = async (role: string) => {
    await using someone = await operator(`as-${role}`, role);
    return [
      (await someone.call('GET', '/v1/devices')).status,
      (await someone.call('POST', '/v1/fleets/plant/tokens', {})).status,
      (await someone.call('POST', '/v1/devices/nobody/revoke')).status,
      (await someone.call('GET', '/v1/api-tokens')).status,
    ];
  };
  expect(await may('viewer')).toEqual([200, 403, 403, 403]);
  expect(await may('enroller')).toEqual([200, 201, 403, 403]);
  expect(await may('operator')).toEqual([200, 201, 404, 403]);
  expect(await may('admin')).toEqual([200, 201, 404, 200]);
});

test('the role of a document grants its paths, for reading unless it says more, and never the keys of the house', async () => {
  const rules = [
    { allow: 'http', pattern: '/v1/devices/#' },
    { allow: 'http', pattern: '/v1/devices/+/disable', methods: ['POST'] },
    { allow: 'http', pattern: '/v1/#', methods: ['DELETE'] },
  ];
  expect((await api.call('PUT', '/v1/roles/support', { rules })).status).toBe(200);
  await using eve = await operator('eve', 'support');
  expect((await eve.call('GET', '/v1/devices/pump-1')).status).toBe(200);
  expect((await eve.call('POST', '/v1/devices/pump-1/disable')).status).toBe(200);
  expect((await eve.call('POST', '/v1/devices/pump-1/enable')).status).toBe(403);
  expect((await eve.call('GET', '/v1/fleets')).status).toBe(403);
  expect((await eve.call('DELETE', '/v1/api-tokens/x')).status).toBe(403);
  expect((await eve.call('DELETE', '/v1/operators/eve')).status).toBe(403);
  expect((await eve.call('GET', '/v1/changes')).status).toBe(403);
  const [entry] = (await api.call('GET', '/v1/audit?since=0&limit=1000')).body.items.slice(-1);
  expect(entry).toMatchObject({ actor: 'operator:eve', action: 'device.disable', target: 'pump-1' });
  await api.call('POST', '/v1/devices/pump-1/enable');

  // A document that is changed is in force at the next call.
  await api.call('PUT', '/v1/roles/support', { rules: [] });
  expect((await eve.call('GET', '/v1/devices/pump-1')).status).toBe(403);
});

describe('out is out', () => {
  test('a revoked operator is refused at once, on the connection that it has', async () => {
    await using ada = await operator('mallory', 'admin');
    expect((await ada.call('GET', '/v1/devices')).status).toBe(200);
    expect((await api.call('DELETE', '/v1/operators/mallory')).status).toBe(204);
    expect(await ada.call('GET', '/v1/devices')).toMatchObject({
      status: 401,
      body: { code: 'unauthenticated' },
    });
    const { body } = await api.call('GET', `/v1/certificates/${ada.fingerprint}`);
    expect(body).toMatchObject({ state: 'revoked', reason: 'privilegeWithdrawn' });
    expect((await api.call('DELETE', '/v1/operators/nobody')).status).toBe(404);
  });

  test('so is one whose certificate was revoked or put on hold by its fingerprint, until it is reinstated', async () => {
    await using bob = await operator('bob', 'viewer');
    const path = `/v1/certificates/${bob.fingerprint}`;
    await api.call('POST', `${path}/revoke`, { reason: 'certificateHold' });
    expect((await bob.call('GET', '/v1/devices')).status).toBe(401);
    await api.call('POST', `${path}/reinstate`);
    expect((await bob.call('GET', '/v1/devices')).status).toBe(200);
    await api.call('POST', `${path}/revoke`);
    expect((await bob.call('GET', '/v1/devices')).status).toBe(401);
  });

  test('and one whose time is over', async () => {
    await using brief = await operator('brief', 'viewer', { ttl: '1s' });
    await eventually(async () => expect((await brief.call('GET', '/v1/devices')).status).toBe(401));
  });

  test('a name has one certificate: another is refused unless it replaces the first', async () => {
    await using first = await operator('carol', 'viewer');
    await expect(operator('carol', 'viewer')).rejects.toThrow(/409.*replace/);
    await using second = await operator('carol', 'operator', { replace: true });
    expect((await first.call('GET', '/v1/devices')).status).toBe(401);
    expect((await second.call('GET', '/v1/devices')).status).toBe(200);
    const { body } = await api.call('GET', `/v1/certificates/${first.fingerprint}`);
    expect(body).toMatchObject({ state: 'revoked', reason: 'superseded' });
  });
});

describe('nobody gets in by the wrong door', () => {
  test('a device is no operator, and an operator no device', async () => {
    const device = await api.enroll('plant', 'pump-9');
    await using asDevice = clientWith(
      house.doors.registry,
      device.ca,
      device.certificate,
      device.key,
      device.fingerprint,
    );
    expect((await asDevice.call('GET', '/v1/devices')).status).toBe(401);
    await using dan = await operator('dan', 'admin');
    const { certificate, key } = dan;
    const posing = { ...device, id: 'dan', certificate, key };
    await expect(connectDevice(posing, house.port('mqtts'), { protocolVersion: 5 })).rejects.toMatchObject({
      code: 0x87,
    });
  });

  test('a key is for one only, and a CSR names nobody else', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const body = { name: 'key-1', role: 'viewer', csr: await makeCsr(privateKey, 'key-1') };
    expect((await api.call('POST', '/v1/operators', body)).status).toBe(201);
    const again = { name: 'key-2', role: 'viewer', csr: await makeCsr(privateKey, 'key-2') };
    expect((await api.call('POST', '/v1/operators', again)).body.code).toBe('csr-key-reused');
    const other = { name: 'key-3', role: 'viewer', csr: await csrOf('admin') };
    expect((await api.call('POST', '/v1/operators', other)).body.code).toBe('csr-subject');
  });

  test.each([
    ['', 400],
    ['a/b', 400],
    ['+', 400],
    ['a'.repeat(65), 400],
  ])('the name %j is refused', async (name, status) => {
    const body = { name, role: 'viewer', csr: await csrOf('x') };
    expect((await api.call('POST', '/v1/operators', body)).status).toBe(status);
  });

  test('a role that does not exist is refused, and so is one that only admins may give', async () => {
    const body = { name: 'frank', role: 'nonsense', csr: await csrOf('frank') };
    expect((await api.call('POST', '/v1/operators', body)).status).toBe(404);
    await using op = await operator('grace', 'operator');
    expect((await op.call('POST', '/v1/operators', { ...body, role: 'admin' })).status).toBe(403);
  });

  test('a wrong token beside a good certificate is refused', async () => {
    await using heidi = await operator('heidi', 'viewer');
    const wrong = { authorization: 'Bearer fga_nothing' };
    expect((await heidi.call('GET', '/v1/devices', undefined, wrong)).status).toBe(401);
  });
});

test('a backend: a device in the role backend hears the fleet by its certificate, and says nothing', async () => {
  const backend = await api.enroll('plant', 'lake');
  await api.call('PATCH', '/v1/devices/lake', { role: 'backend' });
  const listening = await connectDevice(backend, house.port('mqtts'), {
    protocolVersion: 5,
    clientId: 'lake/1',
  });
  const heard: string[] = [];
  listening.client.on('message', (topic) => heard.push(topic));
  await listening.client.subscribeAsync('devices/+/telemetry/#', { qos: 1 });
  const device = await api.enroll('plant', 'pump-2');
  const speaking = await connectDevice(device, house.port('mqtts'), { protocolVersion: 5 });
  await speaking.client.publishAsync('devices/pump-2/telemetry/t', '{}', { qos: 1 });
  await eventually(() => expect(heard).toEqual(['devices/pump-2/telemetry/t']));
  await expect(
    listening.client.publishAsync('devices/lake/telemetry', '{}', { qos: 1 }),
  ).rejects.toMatchObject({ code: 0x87 });
  await Promise.all([listening.client.endAsync(), speaking.client.endAsync()]);
});

test('the command makes an operator, and every verb takes the certificate instead of a token', () => {
  const run = (...args: string[]) => {
    const done = spawnSync(process.execPath, [command, ...args], { cwd: house.dir, encoding: 'utf8' });
    return { code: done.status, said: done.stdout + done.stderr };
  };
  expect(run('operators', 'create', 'ivan', '--role', 'viewer', '--out', 'ivan').code).toBe(0);
  const at = (name: string) => join(house.dir, 'ivan', name);
  expect(statSync(at('ivan.key')).mode & 0o777).toBe(0o600);
  const elsewhere = ['--registry', house.doors.registry, '--ca', at('ca.crt'), '--data', '/nonexistent'];
  const identity = ['--cert', at('ivan.crt'), '--key', at('ivan.key')];
  expect(run('devices', 'list', ...elsewhere, ...identity).code).toBe(0);
  expect(run('devices', 'disable', 'pump-1', ...elsewhere, ...identity).said).toMatch(/does not grant/);
  expect(run('devices', 'list', ...elsewhere).code).toBe(1);
  expect(run('devices', 'list', ...elsewhere, '--cert', at('ivan.crt')).code).toBe(2);
  expect(run('operators', 'list').said).toMatch(/ivan\tviewer/);
  expect(run('operators', 'revoke', 'ivan').code).toBe(0);
  expect(run('devices', 'list', ...elsewhere, ...identity).said).toMatch(/revoked/);
});
