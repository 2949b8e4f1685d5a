/** What expires without having been renewed is seen before, told once when it happens, and not blamed on who has moved on. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { command } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { keyAndCsr, renewAt, renewed } from '../harness/renew.ts';
import { TimedHouse } from '../harness/timed-house.ts';

const day = 86_400_000;
let house: TimedHouse;
beforeEach(async () => {
  house = await TimedHouse.start({ 'ca.leafLifetime': '100d', 'registry.sweepInterval': '100ms' });
});
afterEach(() => house[Symbol.asyncDispose]());

const told = async () => {
  const { body } = await house.api.call('GET', '/v1/audit?limit=1000');
  return body.items.filter(({ action }: { action: string }) => action === 'certificate.expire');
};
const forecast = async (query = '') =>
  (await house.api.call('GET', `/v1/fleets/plant/renewals${query}`)).body;
const verdict = async () => (await house.api.call('GET', '/v1/status')).body;

test('the forecast shows who is due, who is late, and who has expired', async () => {
  for (const id of ['a', 'b', 'c']) await house.api.enroll('plant', id);
  expect(await forecast('?buckets=10')).toMatchObject({ later: 3, overdue: 0, expired: 0 });
  const ahead = await forecast();
  expect(ahead.buckets.reduce((sum: number, { renewals }: { renewals: number }) => sum + renewals, 0)).toBe(
    3,
  );
  house.clock.aheadMs += 95 * day;
  expect(await forecast()).toMatchObject({ overdue: 3, expired: 0 });
  house.clock.aheadMs += 10 * day;
  expect(await forecast()).toMatchObject({ overdue: 0, expired: 3 });
  expect((await house.api.call('GET', '/v1/fleets/nowhere/renewals')).status).toBe(404);
  expect((await house.api.call('GET', '/v1/fleets/plant/renewals?buckets=401')).status).toBe(400);
});

test('the verdict says so a week before; a device that has renewed and uses the new one is not counted', async () => {
  const [late, good] = [await house.api.enroll('plant', 'late'), await house.api.enroll('plant', 'good')];
  expect((await verdict()).healthy).toBe(true);
  house.clock.aheadMs += 94 * day;
  expect((await verdict()).verdict).toMatch(/2 certificates expire within 7 days and are not renewed/);
  const { key, csr } = await keyAndCsr('good');
  const { body } = await renewAt(house.registry.urls.registry, good, csr);
  // Issued is not enough: it has to be used.
  expect((await verdict()).verdict).toMatch(/2 certificates/);
  const { client } = await connectDevice(renewed(good, body, key), house.ports.mqtts);
  await client.endAsync();
  await eventually(async () => {
    expect((await verdict()).verdict).toMatch(/1 certificate expires within 7 days and is not renewed/);
  });
  expect((await house.api.call('GET', `/v1/devices/${late.id}`)).status).toBe(200);
});

test('each is told once, in audit and feed, over restarts of the sweep, and counted', async () => {
  const gone = await house.api.enroll('plant', 'gone');
  await house.api.enroll('plant', 'gone-too');
  house.clock.aheadMs += 101 * day;
  await eventually(async () => expect(await told()).toHaveLength(2));
  const [first] = (await told()).filter(({ target }: { target: string }) => target === gone.fingerprint);
  expect(first).toMatchObject({ actor: 'system', detail: { device: 'gone', fleet: 'plant' } });
  const changes = house.rows<{ body: string }>(
    `SELECT body FROM changes WHERE body LIKE '%"certificate-expired"%'`,
  );
  expect(changes).toHaveLength(2);
  await house.api.enroll('plant', 'next');
  house.clock.aheadMs += 101 * day;
  await eventually(async () => expect(await told()).toHaveLength(3));
  expect(await house.metrics.registry.metrics()).toMatch(/certificates_expired_total 3\n/);
});

test('a certificate that another has replaced expires in silence', async () => {
  const old = await house.api.enroll('plant', 'mover');
  const witness = await house.api.enroll('plant', 'witness');
  house.clock.aheadMs += 50 * day;
  const again = await house.api.enroll('plant', 'mover');
  const { client } = await connectDevice(again, house.ports.mqtts);
  await client.endAsync();
  await eventually(() => {
    const rows = house.rows<{ used_ms: number | null }>(
      'SELECT used_ms FROM certificates WHERE used_ms IS NOT NULL',
    );
    expect(rows).toHaveLength(1);
  });
  house.clock.aheadMs += 51 * day;
  await eventually(async () => expect(await told()).toHaveLength(1));
  expect((await told())[0].target).toBe(witness.fingerprint);
  expect((await house.api.call('GET', `/v1/certificates/${old.fingerprint}`)).body.state).toBe('issued');
});

test('a claim certificate runs out in silence: nobody was to renew it', async () => {
  const witness = await house.api.enroll('plant', 'witness');
  const { csr } = await keyAndCsr('line');
  const made = await house.api.call('POST', '/v1/fleets/plant/claims', { csr, uses: 1, ttl: '97d' });
  expect(made.status).toBe(201);
  house.clock.aheadMs += 94 * day;
  expect((await verdict()).verdict).toMatch(/1 certificate expires within 7 days/);
  house.clock.aheadMs += 7 * day;
  await eventually(async () => expect(await told()).toHaveLength(1));
  expect((await told())[0].target).toBe(witness.fingerprint);
  expect(await forecast()).toMatchObject({ expired: 1 });
});

test('fleetgate fleets renewals --forecast', async () => {
  await house.api.enroll('plant', 'a');
  const { registry, caFile, adminTokenFile } = { ...house.registry, registry: house.registry.urls.registry };
  const where = ['--registry', registry, '--ca', caFile, '--token-file', adminTokenFile];
  const run = async (...args: string[]) =>
    (await promisify(execFile)(process.execPath, [command, 'fleets', 'renewals', 'plant', ...args, ...where]))
      .stdout;
  expect(JSON.parse(await run('--forecast', '--days', '5', '--json')).buckets).toHaveLength(5);
  const lines = (await run('--forecast')).trim().split('\n');
  expect(lines).toHaveLength(90);
  expect(lines.filter((line) => /^\d{4}-\d\d-\d\d\t1/.test(line))).toHaveLength(1);
  expect(await run()).toMatch(/due in 90 days\s+1/);
});
