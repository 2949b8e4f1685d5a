/** Rights that are given and taken at the registry, at a gateway in another process: holds, fleets, roles by attributes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Apart } from '../harness/apart.ts';
import type { ApiClient } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';

let apart: Apart;
let api: ApiClient;
beforeAll(async () => {
  apart = await Apart.start();
  api = apart.api;
});
afterAll(() => apart[Symbol.asyncDispose]());

const post = (path: string, body?: unknown) => api.call('POST', `/v1${path}`, body);
const enrollMany = (fleet: string, count: number) =>
  Promise.all(Array.from({ length: count }, (_, n) => api.enroll(fleet, `${fleet}-${n}`)));

test('a hold crosses the line and cuts the session; so does its end, and the device is back', async () => {
  const device = await api.enroll('plant', 'held');
  const { closed } = await apart.connect(device);
  const receipt = await post(`/certificates/${device.fingerprint}/revoke`, { reason: 'certificateHold' });
  expect(receipt.body).toMatchObject({ complete: true, sessions: [{ gateway: 'north', protocol: 'mqtt5' }] });
  expect(await closed).toBe(0x98);
  await expect(apart.tryConnect(device)).rejects.toMatchObject({ code: 0x8a });
  const [decision] = (await api.call('GET', '/v1/devices/held/decisions')).body.items;
  expect(decision).toMatchObject({ gateway: 'north', reason: 'certificate-held' });
  const back = await post(`/certificates/${device.fingerprint}/reinstate`);
  expect(back.body).toMatchObject({ complete: true });
  // The receipt came: the gateway has it already.
  await (await apart.tryConnect(device)).client.endAsync();
});

test('a fleet is counted, then cut, in several lots; the receipt gathers what the gateway closed', async () => {
  const devices = await enrollMany('crowd', 230);
  const online = await Promise.all(
    devices.filter((_, n) => n % 20 === 0).map((device) => apart.connect(device)),
  );
  const forecast = (await post('/fleets/crowd/revoke', { dryRun: true })).body;
  expect(forecast).toMatchObject({
    devices: 230,
    certificates: 230,
    sessions: online.length,
    complete: true,
  });
  expect(forecast.first).toHaveLength(100);
  const one = await post('/devices:revoke', { devices: ['crowd-1', 'crowd-20'], dryRun: true });
  expect(one.body).toMatchObject({ devices: 2, sessions: 1 });
  const all = await post('/issuers/issuing/revoke-certificates?dryRun=true');
  expect(all.body.sessions).toBe(online.length);

  const { body } = await post('/fleets/crowd/revoke', { reason: 'cessationOfOperation' });
  expect(body).toMatchObject({ devices: 230, certificates: 230, lots: 2, complete: true });
  expect(body.sessions).toHaveLength(online.length);
  expect(new Set(body.sessions.map(({ gateway }: { gateway: string }) => gateway))).toEqual(
    new Set(['north']),
  );
  expect(new Set(await Promise.all(online.map(({ closed }) => closed)))).toEqual(new Set([0x98]));
  await expect(apart.tryConnect(devices[229]!)).rejects.toMatchObject({ code: 0x8a });

  const { items } = (await api.call('GET', '/v1/audit?since=0&limit=1000')).body;
  const told = items.filter(({ action }: { action: string }) => action === 'certificates.revoke');
  expect(told).toHaveLength(2);
  const named = told.flatMap((entry: { detail: { before: { certificates: { issued: string[] } } } }) => [
    ...entry.detail.before.certificates.issued,
  ]);
  expect(named.sort()).toEqual(devices.map(({ fingerprint }) => fingerprint).sort());
});

describe('roles by attributes', () => {
  const topic = 'gauges/north/level';
  const rules = [
    { allow: 'publish', pattern: 'gauges/${device.attributes.site}/#' },
    { allow: 'subscribe', pattern: 'gauges/${device.attributes.site}/#' },
  ];
  const attributes = { kind: 'gauge', site: 'north' };
  let session: Awaited<ReturnType<Apart['connect']>>;
  let assignment: string;
  const may = async () => {
    try {
      await session.client.publishAsync(topic, 'x', { qos: 1 });
      return true;
    } catch {
      return false;
    }
  };
  const becomes = (allowed: boolean) => eventually(async () => expect(await may()).toBe(allowed));

  beforeAll(async () => {
    await api.call('PUT', '/v1/roles/gauge', { rules });
    const device = await api.enroll('meters', 'meter-1');
    await api.call('PATCH', '/v1/devices/meter-1', { attributes });
    session = await apart.connect(device);
    expect(await may()).toBe(false);
  });
  afterAll(() => session.client.endAsync());

  test('an assignment gives the role to live sessions of those that match', async () => {
    const made = await post('/role-assignments', {
      fleet: 'meters',
      match: { kind: 'gauge' },
      role: 'gauge',
    });
    expect(made).toMatchObject({ status: 201, body: { devices: 1 } });
    assignment = made.body.id;
    await becomes(true);
    const shown = (await api.call('GET', '/v1/devices/meter-1')).body;
    expect(shown).toMatchObject({ role: null, assignedRole: 'gauge' });
  });

  test('a device that enrolls with such attributes has it from its first connect', async () => {
    const { body } = await post('/fleets/meters/tokens', {});
    const headers = { authorization: `Bearer ${body.token}` };
    const { generateKeyPairSync } = await import('node:crypto');
    const { makeCsr } = await import('#common/x509/csr.ts');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const csr = await makeCsr(privateKey, 'meter-2');
    const enrolled = await api.call('POST', '/v1/enroll', { deviceId: 'meter-2', csr, attributes }, headers);
    const device = {
      id: 'meter-2',
      fleet: 'meters',
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      certificate: enrolled.body.certificate + enrolled.body.chain,
      ca: enrolled.body.ca,
      fingerprint: enrolled.body.fingerprint,
      privateKey,
    };
    const second = await apart.connect(device);
    await second.client.publishAsync(topic, 'y', { qos: 1 });
    await second.client.endAsync();
  });

  test('attributes that match no more take it away, and its own role goes before it', async () => {
    await api.call('PATCH', '/v1/devices/meter-1', { attributes: { ...attributes, kind: 'lamp' } });
    await becomes(false);
    await api.call('PATCH', '/v1/devices/meter-1', { attributes });
    await becomes(true);
    await api.call('PATCH', '/v1/devices/meter-1', { role: 'device' });
    await becomes(false);
    await api.call('PATCH', '/v1/devices/meter-1', { role: null });
    await becomes(true);
  });

  test('one that asks for more attributes wins; gone, they fall back one by one', async () => {
    const closer = { match: { kind: ['gauge', 'meter'], site: 'north' }, role: 'device' };
    const made = (await post('/role-assignments', closer)).body;
    await becomes(false);
    expect((await api.call('GET', '/v1/role-assignments')).body.items).toHaveLength(2);
    expect((await api.call('DELETE', `/v1/role-assignments/${made.id}`)).body.devices).toBeGreaterThanOrEqual(
      1,
    );
    await becomes(true);
    await api.call('DELETE', `/v1/role-assignments/${assignment}`);
    await becomes(false);
    expect((await api.call('DELETE', `/v1/role-assignments/${assignment}`)).status).toBe(404);
  });
});

test('assignments have a bound, and name roles and fleets that exist', async () => {
  const order = { match: { a: '1' }, role: 'device' };
  expect((await post('/role-assignments', { ...order, role: 'none' })).status).toBe(404);
  expect((await post('/role-assignments', { ...order, fleet: 'none' })).status).toBe(404);
  expect((await post('/role-assignments', { ...order, match: {} })).status).toBe(400);
  for (let n = 0; n < 200; n++) expect((await post('/role-assignments', order)).status).toBe(201);
  expect((await post('/role-assignments', order)).body.code).toBe('quota-exceeded');
});
