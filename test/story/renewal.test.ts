/** Renewal at the registry door: the old certificate stays good until the new one is used, and no lost answer locks out. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { makeCsr } from '#common/x509/csr.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { keyAndCsr, renewAt, renewed } from '../harness/renew.ts';
import { TimedHouse } from '../harness/timed-house.ts';

const day = 86_400_000;
let house: TimedHouse;
beforeAll(async () => {
  house = await TimedHouse.start({
    'registry.sweepInterval': '100ms',
    'upstream.sightingInterval': '1s',
    'ca.leafLifetime': '10d',
  });
});
afterAll(() => house[Symbol.asyncDispose]());

const enroll = (id: string) => house.api.enroll('plant', id);
const renew = (device: DeviceIdentity, csr: string) => renewAt(house.registry.urls.registry, device, csr);
const due = async (id: string) => {
  const device = await enroll(id);
  house.clock.aheadMs += 8.5 * day;
  return device;
};
interface Row {
  fingerprint: string;
  state: string;
  reason: string | null;
  replaces: string | null;
  used_ms: number | null;
  retire_ms: number | null;
}
const rowsOf = (device: string) =>
  house.rows<Row>('SELECT * FROM certificates WHERE device = ? ORDER BY reserved_ms', device);

test('a device whose time has come gets a successor, with a key of its own, and both are good', async () => {
  const old = await due('pump');
  const { key, csr } = await keyAndCsr('pump');
  const answer = await renew(old, csr);
  expect(answer.status).toBe(201);
  expect(answer.body).toMatchObject({ deviceId: 'pump', fleet: 'plant' });
  expect(rowsOf('pump').at(-1)).toMatchObject({ replaces: old.fingerprint, state: 'issued', used_ms: null });
  for (const identity of [old, renewed(old, answer.body, key)]) {
    const { client } = await connectDevice(identity, house.ports.mqtts);
    await client.endAsync();
  }
});

test('an early caller is told when to come', async () => {
  const device = await enroll('early');
  const { status, headers, body } = await renew(device, (await keyAndCsr('early')).csr);
  expect(status).toBe(429);
  expect(body.code).toBe('renewal-early');
  expect(Date.parse(body.renewAfter)).toBeGreaterThan(house.clock.now() + 5 * day);
  expect(Number(headers['retry-after'])).toBeGreaterThan((5 * day) / 1000);
  expect(rowsOf('early')).toHaveLength(1);
});

test('the same CSR gets the same answer: after a lost answer, and twice at once', async () => {
  const device = await due('lost');
  const { csr } = await keyAndCsr('lost');
  const both = await Promise.all([renew(device, csr), renew(device, csr)]);
  const again = await renew(device, csr);
  const issued = [...both, again].map(({ body }) => body as IssuedCertificate);
  expect(new Set(issued.map(({ certificate }) => certificate)).size).toBe(1);
  expect(again.body).toEqual(both[0]!.body);
  expect(rowsOf('lost')).toHaveLength(2);
});

test('the key may stay: only the certificate is new', async () => {
  const device = await due('same-key');
  const answer = await renew(device, await makeCsr(device.privateKey, 'same-key'));
  expect(answer.status).toBe(201);
  expect(answer.body.fingerprint).not.toBe(device.fingerprint);
});

test('a renewal changes no name', async () => {
  const device = await due('honest');
  const { status, body } = await renew(device, (await keyAndCsr('another')).csr);
  expect([status, body.code]).toEqual([422, 'renewal-subject']);
  expect(rowsOf('honest')).toHaveLength(1);
});

test('without a certificate, with one of nobody, on hold or revoked: each refusal has its word', async () => {
  const device = await due('sorry');
  const { csr } = await keyAndCsr('sorry');
  expect((await renewAt(house.registry.urls.registry, { ca: device.ca }, csr)).body.code).toBe(
    'no-certificate',
  );
  await house.api.call('POST', '/v1/devices/sorry/disable');
  expect((await renew(device, csr)).body.code).toBe('device-disabled');
  await house.api.call('POST', '/v1/devices/sorry/enable');
  await house.api.call('POST', `/v1/certificates/${device.fingerprint}/revoke`);
  expect((await renew(device, csr)).body.code).toBe('certificate-revoked');
});

test('the old one stays until the new one is used, then retires, and its live session ends', async () => {
  const old = await due('valve');
  const { closed } = await connectDevice(old, house.ports.mqtts, { protocolVersion: 5 });
  const { key, csr } = await keyAndCsr('valve');
  const { body } = await renew(old, csr);
  expect(rowsOf('valve').map(({ retire_ms }) => retire_ms)).toEqual([null, null]);

  const { client } = await connectDevice(renewed(old, body, key), house.ports.mqtts, { protocolVersion: 5 });
  // The older session of the same client id was taken over; another one of the old certificate is let in meanwhile.
  expect(await closed).toBe(0x8e);
  await client.endAsync();
  await eventually(() => expect(rowsOf('valve')[0]!.retire_ms).not.toBeNull());
  const late = await connectDevice(old, house.ports.mqtts, { protocolVersion: 5 });
  house.clock.aheadMs += 3_600_000 + 1000;
  expect(await late.closed).toBe(0x98);
  expect(rowsOf('valve').map(({ state, reason }) => [state, reason])).toEqual([
    ['revoked', 'superseded'],
    ['issued', null],
  ]);
  await expect(connectDevice(old, house.ports.mqtts)).rejects.toThrow();
});

test('attempts whose answers were lost make room for the next, and the one in use stays', async () => {
  const device = await due('unlucky');
  for (let attempt = 0; attempt < 12; attempt++)
    expect((await renew(device, (await keyAndCsr('unlucky')).csr)).status).toBe(201);
  const rows = rowsOf('unlucky');
  expect(rows.filter(({ state }) => state === 'issued')).toHaveLength(8);
  expect(rows[0]).toMatchObject({ fingerprint: device.fingerprint, state: 'issued' });
  const gone = rows.filter(({ state }) => state === 'revoked');
  expect(new Set(gone.map(({ reason }) => reason))).toEqual(new Set(['superseded']));
});

test('a device renews so often an hour and no oftener; the same CSR is answered all the same', async () => {
  const device = await due('greedy');
  const { csr } = await keyAndCsr('greedy');
  const statuses: number[] = [(await renew(device, csr)).status];
  for (let n = 0; n < 20; n++) statuses.push((await renew(device, (await keyAndCsr('greedy')).csr)).status);
  expect(statuses.filter((status) => status === 201)).toHaveLength(20);
  expect(statuses.at(-1)).toBe(429);
  const { csr: last } = await keyAndCsr('greedy');
  expect((await renew(device, last)).body.code).toBe('rate-limited');
  house.clock.aheadMs += 3_600_000 / 20;
  for (let n = 0; n < 2; n++) expect((await renew(device, last)).status).toBe(201);
});

test('the two answers of a CSR longer than allowed, and of one that is none', async () => {
  const device = await due('odd');
  const long = `-----BEGIN CERTIFICATE REQUEST-----\n${'A'.repeat(32 * 1024)}\n-----END CERTIFICATE REQUEST-----\n`;
  expect((await renew(device, long)).body.code).toBe('csr-too-large');
  expect((await renew(device, 'nothing')).body.code).toBe('csr-malformed');
});

test('an Idempotency-Key is one of its certificate: another device gets no answer of it', async () => {
  const [one, two] = [await due('one'), await enroll('two')];
  const { csr } = await keyAndCsr('one');
  const url = house.registry.urls.registry;
  const headers = { 'idempotency-key': 'k' };
  expect((await renewAt(url, one, csr, headers)).status).toBe(201);
  expect((await renewAt(url, two, csr, headers)).status).not.toBe(201);
});

test('an old certificate in its days of grace is never early, and beyond them is refused', async () => {
  const device = await enroll('sleeper');
  const { csr } = await keyAndCsr('sleeper');
  house.clock.aheadMs += 11 * day;
  expect((await renew(device, csr)).status).toBe(201);
  house.clock.aheadMs += 31 * day;
  const { status, body } = await renew(device, (await keyAndCsr('sleeper')).csr);
  expect([status, body.code]).toEqual([401, 'certificate-expired']);
});

test('one that is not valid yet is renewed within the skew, and told to check its clock beyond it', async () => {
  const device = await enroll('hasty');
  house.clock.aheadMs -= day / 2;
  expect((await renew(device, (await keyAndCsr('hasty')).csr)).status).toBe(201);
  house.clock.aheadMs -= day;
  expect((await renew(device, (await keyAndCsr('hasty')).csr)).body.code).toBe('certificate-not-yet-valid');
  house.clock.aheadMs += day * 1.5;
});

test('renewals are counted by result and reason', async () => {
  const text = await house.metrics.registry.metrics();
  expect(text).toMatch(/fleetgate_renewals_total\{result="issued",reason="none"\} [1-9]/);
  expect(text).toMatch(/fleetgate_renewals_total\{result="repeated",reason="none"\} [1-9]/);
  expect(text).toMatch(/fleetgate_renewals_total\{result="refused",reason="renewal-early"\} [1-9]/);
});
