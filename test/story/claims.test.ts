/** A production line enrolls with one claim certificate: so many devices of its fleet, nothing else, and what it did is known. */
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { type ApiClient, apiClient, type DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { sh, withPrograms } from '../harness/peer-program.ts';

let house: House;
const call: House['api']['call'] = (...args) => house.api.call(...args);
const lines: ApiClient[] = [];
beforeAll(async () => {
  house = await House.start({ config: 'registry: { failedAuthRate: 1000 }\n' });
  await call('POST', '/v1/fleets', { id: 'plant' });
  await call('POST', '/v1/fleets', { id: 'yard' });
});
afterAll(async () => {
  await Promise.all(lines.map((line) => line.close()));
  await house[Symbol.asyncDispose]();
});

const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const pemOf = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();

/** A claim, and a client that shows it and nothing else. */
async function claimFor(uses: number, { ttl = '1h', fleet = 'plant' } = {}) {
  const key = newKey();
  const answer = await call('POST', `/v1/fleets/${fleet}/claims`, {
    csr: await makeCsr(key, 'line 4'),
    uses,
    ttl,
  });
  expect(answer.status).toBe(201);
  const identity = { cert: answer.body.certificate + answer.body.chain, key: pemOf(key) };
  const line = apiClient(house.doors.registry, readFileSync(house.doors.ca, 'utf8'), '', identity);
  lines.push(line);
  const enroll = async (deviceId: string, deviceKey: KeyObject = newKey()) =>
    line.call('POST', '/v1/enroll', { deviceId, csr: await makeCsr(deviceKey, deviceId) });
  return { ...answer.body, identity, line, enroll } as typeof answer.body & { enroll: typeof enroll };
}
// biome-ignore lint/suspicious/noExplicitAny: an answer of the API
const identityOf = (body: any, privateKey: KeyObject): DeviceIdentity => ({
  id: body.deviceId,
  fleet: body.fleet,
  key: pemOf(privateKey),
  certificate: body.certificate + body.chain,
  ca: body.ca,
  fingerprint: body.fingerprint,
  privateKey,
});
const viewOf = async (id: string, fleet = 'plant') => {
  const { body } = await call('GET', `/v1/fleets/${fleet}/claims`);
  return body.items.find((each: { id: string }) => each.id === id);
};

test('what a claim certificate says of itself', async () => {
  const claim = await claimFor(3);
  expect(claim).toMatchObject({ fleet: 'plant', uses: 3, usesLeft: 3, enrolled: 0, revoked: false });
  const leaf = new X509Certificate(claim.certificate);
  expect(leaf.subject).toBe(`CN=claim ${claim.id}`);
  expect(leaf.subjectAltName).toBe(`URI:spiffe://fleetgate.local/fleet/plant/claim/${claim.id}`);
  expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(leaf.ca).toBe(false);
  expect(leaf.verify(new X509Certificate(claim.chain).publicKey)).toBe(true);
  expect(leaf.validToDate.toISOString()).toBe(claim.expiresAt);
  const shown = await call('GET', `/v1/certificates/${claim.fingerprint}`);
  expect(shown.body).toMatchObject({
    device: '',
    state: 'issued',
    serialNumber: leaf.serialNumber.toLowerCase(),
  });
});

test('it enrolls a device, which then connects; it cannot connect itself', async () => {
  const claim = await claimFor(2);
  const key = newKey();
  const { status, body } = await claim.enroll('claimed-1', key);
  expect(status).toBe(201);
  const device = identityOf(body, key);
  const { client } = await connectDevice(device, house.port('mqtts'));
  await client.endAsync(true);
  const itself = { ...device, certificate: claim.identity.cert, key: claim.identity.key };
  await expect(connectDevice(itself, house.port('mqtts'), { protocolVersion: 5 })).rejects.toMatchObject({
    code: 0x87,
  });
  expect(await viewOf(claim.id)).toMatchObject({ usesLeft: 1, enrolled: 1 });
});

test('twenty at once with a claim for seven: exactly seven are issued', async () => {
  const claim = await claimFor(7);
  const answers = await Promise.all(Array.from({ length: 20 }, async (_, n) => claim.enroll(`raced-${n}`)));
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(7);
  const refused = answers.filter(({ status }) => status !== 201);
  expect(new Set(refused.map(({ body }) => body.code))).toEqual(new Set(['claim-invalid']));
  expect(await viewOf(claim.id)).toMatchObject({ usesLeft: 0, enrolled: 7 });
});

test('an answer that was lost costs nothing: the same key gets the same certificate', async () => {
  const claim = await claimFor(1);
  const key = newKey();
  const first = await claim.enroll('lost-1', key);
  const second = await claim.enroll('lost-1', key);
  expect(second).toMatchObject({ status: 201, body: first.body });
  expect(await viewOf(claim.id)).toMatchObject({ usesLeft: 0, enrolled: 1 });
});

test('whoever steals a claim becomes none of the devices that are there', async () => {
  await house.api.enroll('plant', 'settled');
  const claim = await claimFor(5);
  await claim.enroll('claimed-2');
  for (const id of ['settled', 'claimed-2'])
    expect(await claim.enroll(id)).toMatchObject({ status: 403, body: { code: 'token-scope' } });
  expect(await viewOf(claim.id)).toMatchObject({ usesLeft: 4, enrolled: 1 });
});

describe('a claim is good for', () => {
  test('its fleet', async () => {
    const claim = await claimFor(2, { fleet: 'yard' });
    expect((await claim.enroll('yarded')).body.fleet).toBe('yard');
    await house.api.enroll('plant', 'planted');
    await call('POST', '/v1/devices/planted/revoke');
    expect((await claim.enroll('planted')).status).toBe(409);
  });

  test('its time', async () => {
    const claim = await claimFor(5, { ttl: '1s' });
    await eventually(async () => expect((await claim.enroll('late')).body.code).toBe('claim-invalid'));
  });

  test('enrolling: it reads nothing of the registry', async () => {
    const claim = await claimFor(1);
    for (const [method, path] of [
      ['GET', '/v1/devices'],
      ['GET', '/v1/fleets/plant/claims'],
      ['POST', '/v1/fleets/plant/tokens'],
    ] as const)
      expect((await claim.line.call(method, path)).status).toBe(401);
  });

  test('a key of its own', async () => {
    const claim = await claimFor(1);
    const { createPrivateKey } = await import('node:crypto');
    const stolen = await claim.enroll('clone', createPrivateKey(claim.identity.key));
    expect(stolen.body.code).toBe('csr-key-reused');
    const key = newKey();
    const csr = await makeCsr(key, 'line');
    const body = { csr, uses: 1, ttl: '1h' };
    expect((await call('POST', '/v1/fleets/plant/claims', body)).status).toBe(201);
    expect((await call('POST', '/v1/fleets/plant/claims', body)).body.code).toBe('csr-key-reused');
  });
});

test('an Idempotency-Key of one line is not that of another', async () => {
  const [one, two] = [await claimFor(1), await claimFor(1)];
  const body = { deviceId: 'keyed', csr: await makeCsr(newKey(), 'keyed') };
  const key = { 'idempotency-key': 'the same' };
  expect((await one.line.call('POST', '/v1/enroll', body, key)).status).toBe(201);
  const other = await two.line.call('POST', '/v1/enroll', body, key);
  expect(other.headers['idempotency-replayed']).toBeUndefined();
  expect(other.body.code).toBe('token-scope');
});

describe('a claim that is revoked', () => {
  test('enrolls nobody; what it has enrolled goes on', async () => {
    const claim = await claimFor(5);
    await claim.enroll('kept-1');
    const receipt = await call('POST', `/v1/claims/${claim.id}/revoke`, { reason: 'keyCompromise' });
    expect(receipt).toMatchObject({
      status: 200,
      body: { certificates: [claim.fingerprint], complete: true },
    });
    expect((await claim.enroll('kept-2')).body.code).toBe('claim-invalid');
    expect((await call('GET', '/v1/devices/kept-1')).body.state).toBe('active');
    expect(await viewOf(claim.id)).toMatchObject({ revoked: true, usesLeft: 4, enrolled: 1 });
    const shown = await call('GET', `/v1/certificates/${claim.fingerprint}`);
    expect(shown.body).toMatchObject({ state: 'revoked', reason: 'keyCompromise' });
  });

  test('by its fingerprint is as good as revoked by its id', async () => {
    const claim = await claimFor(5);
    await call('POST', `/v1/certificates/${claim.fingerprint}/revoke`);
    expect((await claim.enroll('never')).body.code).toBe('claim-invalid');
  });

  test('with its devices: the dry run counts them, the receipt names their connections', async () => {
    const claim = await claimFor(200);
    const key = newKey();
    const { body } = await claim.enroll('tainted-0', key);
    await Promise.all(Array.from({ length: 130 }, (_, n) => claim.enroll(`tainted-${n + 1}`)));
    const { closed } = await connectDevice(identityOf(body, key), house.port('mqtts'), {
      protocolVersion: 5,
    });
    // One is gone, and its id with another right: it is not what the claim enrolled any more.
    await call('DELETE', '/v1/devices/tainted-1');
    await house.api.enroll('plant', 'tainted-1');

    const path = `/v1/claims/${claim.id}/revoke`;
    const dry = await call('POST', path, { devices: true, dryRun: true });
    expect(dry.body).toEqual({ dryRun: true, devices: 130, certificates: 130, sessions: 1 });
    expect((await claim.enroll('tainted-131')).status).toBe(201);

    const receipt = await call('POST', path, { devices: true, reason: 'keyCompromise' });
    expect(receipt.body.certificates).toHaveLength(132);
    expect(receipt.body.sessions).toMatchObject([{ protocol: 'mqtt5' }]);
    expect(await closed).toBe(0x98);
    const states = await Promise.all(
      ['tainted-0', 'tainted-1', 'tainted-130', 'tainted-131'].map(
        async (id) => (await call('GET', `/v1/devices/${id}`)).body.state,
      ),
    );
    expect(states).toEqual(['revoked', 'active', 'revoked', 'revoked']);
    const again = await call('POST', path, { devices: true, dryRun: true });
    expect(again.body).toEqual({ dryRun: true, devices: 0, certificates: 0, sessions: 0 });
    expect((await call('GET', '/v1/audit/verdict')).body.intact).toBe(true);
  });

  test('that is not there is not found', async () => {
    expect((await call('POST', '/v1/claims/nothing/revoke')).status).toBe(404);
    expect((await call('POST', '/v1/claims/nothing/revoke', { dryRun: true })).status).toBe(404);
  });
});

withPrograms(['curl', 'openssl'], 'with curl and openssl alone', () => {
  test('CRL and OCSP know a claim, and that it was revoked', async () => {
    const claim = await claimFor(1);
    writeFileSync(join(house.dir, 'known.crt'), claim.certificate);
    writeFileSync(join(house.dir, 'issuing.crt'), claim.chain);
    const ask = `openssl ocsp -issuer issuing.crt -cert known.crt -no_nonce -url ${house.doors.pki}/ocsp -CAfile ${house.doors.ca} 2>&1`;
    expect(sh(ask, house.dir)).toMatch(/known\.crt: good/);
    await call('POST', `/v1/claims/${claim.id}/revoke`, { reason: 'keyCompromise' });
    expect(sh(ask, house.dir)).toMatch(/known\.crt: revoked/);
    const serial = new X509Certificate(claim.certificate).serialNumber;
    await eventually(() => {
      const crl = sh(
        `curl -sS ${house.doors.pki}/crl/issuing.crl | openssl crl -inform DER -noout -text`,
        house.dir,
      );
      expect(crl).toContain(`Serial Number: ${serial}`);
    });
  });

  test('a line asks for its claim, and enrolls a device with it', async () => {
    const ca = house.doors.ca;
    const post = `curl -sS --fail-with-body --cacert ${ca} -H 'Content-Type: application/json'`;
    const key = 'openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
    const pem = `awk '{printf "%s\\\\n", $0}'`;
    const script = `
      ${key} -keyout claim.key -subj /CN=line -out claim.csr 2>/dev/null
      ${post} -H "Authorization: Bearer $(cat ${house.doors.adminTokenFile})" \
        -d "{\\"csr\\":\\"$(${pem} claim.csr)\\",\\"uses\\":2,\\"ttl\\":\\"1h\\"}" ${house.doors.registry}/v1/fleets/plant/claims > claim.json
      node -e 'process.stdout.write(JSON.parse(require("fs").readFileSync("claim.json")).certificate)' > claim.crt
      ${key} -keyout d.key -subj /CN=curled -out d.csr 2>/dev/null
      ${post} --cert claim.crt --key claim.key -d "{\\"deviceId\\":\\"curled\\",\\"csr\\":\\"$(${pem} d.csr)\\"}" ${house.doors.registry}/v1/enroll`;
    const enrolled = JSON.parse(sh(script, house.dir));
    writeFileSync(join(house.dir, 'curled.crt'), enrolled.certificate);
    writeFileSync(join(house.dir, 'chain.crt'), enrolled.chain);
    const said = sh(
      `openssl verify -purpose sslclient -untrusted chain.crt -CAfile ${ca} curled.crt`,
      house.dir,
    );
    expect(said).toMatch(/OK/);
  });
});
