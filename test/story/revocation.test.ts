/** Revocation in all its forms: on hold and back, by fleet, issuer and list, tried out before; and the last word of a node. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient, DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';

let house: House;
let api: ApiClient;
beforeAll(async () => {
  house = await House.start();
  api = house.api;
});
afterAll(() => house[Symbol.asyncDispose]());

const connect = (device: DeviceIdentity, options = {}) =>
  connectDevice(device, house.port('mqtts'), { protocolVersion: 5, ...options });
const post = (path: string, body?: unknown) => api.call('POST', `/v1${path}`, body);
const enrollMany = (fleet: string, ids: string[]) => Promise.all(ids.map((id) => api.enroll(fleet, id)));

describe('a hold', () => {
  test('ends the session, refuses the next with its own word, and is over when it is reinstated', async () => {
    const device = await api.enroll('plant', 'held');
    const { closed } = await connect(device);
    const receipt = await post(`/certificates/${device.fingerprint}/revoke`, { reason: 'certificateHold' });
    expect(receipt).toMatchObject({
      status: 200,
      body: { complete: true, sessions: [{ protocol: 'mqtt5' }] },
    });
    expect(await closed).toBe(0x98);
    await expect(connect(device)).rejects.toMatchObject({ code: 0x8a });
    const [decision] = (await api.call('GET', '/v1/devices/held/decisions')).body.items;
    expect(decision).toMatchObject({ admitted: false, reason: 'certificate-held' });
    const held = await api.call('GET', `/v1/certificates/${device.fingerprint}`);
    expect(held.body).toMatchObject({ state: 'held', reason: 'certificateHold' });

    expect((await post(`/certificates/${device.fingerprint}/reinstate`)).status).toBe(200);
    const again = await connect(device);
    await again.client.endAsync();
    const back = await api.call('GET', `/v1/certificates/${device.fingerprint}`);
    expect(back.body).toMatchObject({ state: 'issued', reason: null, revokedAt: null });
  });

  test('only what is on hold can be reinstated', async () => {
    const device = await api.enroll('plant', 'firm');
    const path = `/certificates/${device.fingerprint}`;
    const refused = await post(`${path}/reinstate`);
    expect(refused).toMatchObject({ status: 409, body: { code: 'conflict' } });
    await post(`${path}/revoke`, { reason: 'certificateHold' });
    await post(`${path}/revoke`, { reason: 'keyCompromise' });
    expect((await post(`${path}/reinstate`)).body.detail).toMatch(/for good/);
    expect((await post(`${path}/revoke`, { reason: 'certificateHold' })).status).toBe(409);
    expect((await api.call('GET', `/v1${path}`)).body).toMatchObject({
      state: 'revoked',
      reason: 'keyCompromise',
    });
    expect((await post(`/certificates/${'0'.repeat(64)}/reinstate`)).status).toBe(404);
  });

  test('is for certificates: a device is told to be disabled', async () => {
    await api.enroll('plant', 'whole');
    const refused = await post('/devices/whole/revoke', { reason: 'certificateHold' });
    expect(refused).toMatchObject({ status: 400, body: { detail: expect.stringMatching(/disable/) } });
    expect((await post('/fleets/plant/revoke', { reason: 'certificateHold' })).body.detail).toMatch(
      /disable/,
    );
  });
});

test('every reason that the document names is taken, and no other', async () => {
  const document = (await api.call('GET', '/openapi.json')).body;
  const body =
    document.paths['/v1/devices/{device}/revoke'].post.requestBody.content['application/json'].schema;
  const reasons = body.anyOf[1].properties.reason.enum as string[];
  expect(reasons).toEqual([
    'unspecified',
    'keyCompromise',
    'affiliationChanged',
    'superseded',
    'cessationOfOperation',
    'certificateHold',
    'privilegeWithdrawn',
  ]);
  for (const reason of reasons) {
    const { fingerprint } = await api.enroll('words', `word-${reason}`);
    expect((await post(`/certificates/${fingerprint}/revoke`, { reason })).status).toBe(200);
    expect((await api.call('GET', `/v1/certificates/${fingerprint}`)).body.reason).toBe(reason);
  }
  expect((await post('/devices/word-superseded/revoke', { reason: 'removeFromCRL' })).status).toBe(400);
});

describe('many at once', () => {
  test('a fleet: the dry run says whom it would cut and changes nothing, the order does it', async () => {
    const ids = Array.from({ length: 6 }, (_, n) => `row-${n}`);
    const devices = await enrollMany('rows', ids);
    await api.enroll('bystanders', 'neighbour');
    const sessions = await Promise.all(devices.slice(0, 3).map((device) => connect(device)));
    const expected = { dryRun: true, devices: 6, certificates: 6, sessions: 3, first: ids, complete: true };
    expect((await post('/fleets/rows/revoke?dryRun=true')).body).toEqual(expected);
    expect((await post('/fleets/rows/revoke', { dryRun: true })).body).toEqual(expected);
    expect(sessions.every(({ client }) => client.connected)).toBe(true);

    const { body } = await post('/fleets/rows/revoke', { reason: 'cessationOfOperation' });
    expect(body).toMatchObject({ dryRun: false, devices: 6, certificates: 6, lots: 1, complete: true });
    expect(body.sessions).toHaveLength(3);
    expect(await Promise.all(sessions.map(({ closed }) => closed))).toEqual([0x98, 0x98, 0x98]);
    for (const device of devices) await expect(connect(device)).rejects.toMatchObject({ code: 0x8a });
    const { items } = (await api.call('GET', '/v1/devices?fleet=rows')).body;
    expect(new Set(items.map(({ state }: { state: string }) => state))).toEqual(new Set(['revoked']));
    expect((await api.call('GET', '/v1/devices/neighbour')).body.state).toBe('active');
    // Again is harmless: nothing is left.
    expect((await post('/fleets/rows/revoke')).body).toMatchObject({ devices: 0, lots: 0, changeId: 0 });
    expect((await post('/fleets/nowhere/revoke')).status).toBe(404);
  });

  test('a list of devices, or of certificates: all of it or nothing', async () => {
    const [a, b, c] = await enrollMany('lists', ['list-a', 'list-b', 'list-c']);
    expect((await post('/devices:revoke', { devices: ['list-a', 'nobody'] })).status).toBe(404);
    expect((await api.call('GET', '/v1/devices/list-a')).body.state).toBe('active');
    expect((await post('/devices:revoke', { devices: ['list-a', 'list-b'] })).body).toMatchObject({
      devices: 2,
      certificates: 2,
    });
    const hold = { fingerprints: [c!.fingerprint], reason: 'certificateHold' };
    expect((await post('/certificates:revoke', { ...hold, dryRun: true })).body).toMatchObject({
      certificates: 1,
    });
    expect((await post('/certificates:revoke', hold)).body).toMatchObject({ certificates: 1 });
    expect((await api.call('GET', '/v1/devices/list-c')).body).toMatchObject({
      state: 'active',
      certificates: [{ state: 'held' }],
    });
    for (const { fingerprint } of [a!, b!])
      expect((await api.call('GET', `/v1/certificates/${fingerprint}`)).body.state).toBe('revoked');
    const tooMany = { devices: Array.from({ length: 1001 }, (_, n) => `d-${n}`) };
    expect((await post('/devices:revoke', tooMany)).status).toBe(400);
  });
});

describe('the last word of a Sparkplug node', () => {
  const topic = (node: string) => `spBv1.0/plant/NDEATH/${node}`;
  const rules = [{ allow: 'publish', pattern: 'spBv1.0/plant/+/${device.id}' }];
  let heard: string[];

  beforeAll(async () => {
    const listen = [{ allow: 'subscribe', pattern: 'spBv1.0/#' }];
    await api.call('PUT', '/v1/roles/host', { rules: listen });
    await api.call('PUT', '/v1/roles/node', { rules, lastWord: true });
    await api.call('PUT', '/v1/roles/mute', { rules });
    const host = await api.enroll('plant', 'host');
    await api.call('PATCH', '/v1/devices/host', { role: 'host' });
    const { client } = await connect(host);
    heard = [];
    client.on('message', (at) => heard.push(at));
    await client.subscribeAsync('spBv1.0/#', { qos: 1 });
  });

  const node = async (id: string, role: string, willTopic = topic(id)) => {
    const device = await api.enroll('plant', id);
    await api.call('PATCH', `/v1/devices/${id}`, { role });
    const will = { topic: willTopic, payload: Buffer.from('dead'), qos: 1 as const, retain: false };
    const session = await connect(device, { will });
    return session;
  };

  test('is published when it is revoked, if its role says so; of others the Will is dropped', async () => {
    const mute = await node('mute-1', 'mute');
    const other = await node('other-1', 'node', 'spBv1.0/plant/NDATA/other-1');
    const dying = await node('node-1', 'node');
    for (const id of ['mute-1', 'other-1', 'node-1']) await post(`/devices/${id}/revoke`);
    await Promise.all([mute.closed, other.closed, dying.closed]);
    await eventually(() => expect(heard).toContain(topic('node-1')));
    expect(heard).toEqual([topic('node-1')]);
  });

  test('is not published when the role that granted it is withdrawn together with the session', async () => {
    const several = { rules, lastWord: true, severalSessions: true };
    await api.call('PUT', '/v1/roles/brief', several);
    const device = await api.enroll('plant', 'node-2');
    await api.call('PATCH', '/v1/devices/node-2', { role: 'brief' });
    const will = { topic: topic('node-2'), payload: Buffer.from('dead'), qos: 1 as const, retain: false };
    const { closed } = await connect(device, { clientId: 'node-2/x', will });
    await api.call('PUT', '/v1/roles/brief', { rules: [] });
    await closed;
    // Another's word, spoken afterwards, is heard; this one never was.
    const marker = await node('node-3', 'node');
    await post('/devices/node-3/revoke');
    await marker.closed;
    await eventually(() => expect(heard).toContain(topic('node-3')));
    expect(heard).not.toContain(topic('node-2'));
  });
});

test('all that an issuer has signed, of every fleet; devices stay and may enroll anew', async () => {
  const [one] = await enrollMany('last-1', ['last-a']);
  await enrollMany('last-2', ['last-b']);
  const { closed } = await connect(one!);
  expect((await post('/issuers/nobody/revoke-certificates')).status).toBe(404);
  const forecast = (await post('/issuers/issuing/revoke-certificates', { dryRun: true })).body;
  expect(forecast.devices).toBeGreaterThanOrEqual(2);
  expect(forecast.first).toContain('last-a');
  const { body } = await post('/issuers/issuing/revoke-certificates', { reason: 'keyCompromise' });
  expect(body).toMatchObject({ certificates: forecast.certificates, complete: true });
  expect(await closed).toBe(0x98);
  expect((await api.call('GET', '/v1/devices/last-a')).body.state).toBe('active');
  const anew = await api.enroll('last-1', 'last-a');
  await (await connect(anew)).client.endAsync();
});
