/** What everybody can learn of a certificate: CRL and OCSP over the PKI door, from issue to revocation, over restarts. */
import { X509Certificate } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OCSPResponseStatus } from '@peculiar/asn1-ocsp';
import Database from 'better-sqlite3';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { issuerIdentityOf } from '../../registry/ca/issuer-identity.ts';
import { readCrl } from '../../registry/ca/read-crl.ts';
import { signatureAlgorithmOf } from '../../registry/ca/signer.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { ocspCode, ocspRequest, readAnswer, stapledBy } from '../harness/ocsp-client.ts';
import { run, withPrograms } from '../harness/peer-program.ts';

const pems = (bundle: string): string[] =>
  bundle.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g) ?? [];
const serialOf = (pem: string): string => new X509Certificate(pem).serialNumber.toLowerCase();

interface Fetched {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

async function fetched(
  url: string,
  method = 'GET',
  body?: Buffer,
  headers: Record<string, string> = {},
): Promise<Fetched> {
  const response = await request(url, { method: method as 'GET', body, headers });
  return {
    status: response.statusCode,
    headers: response.headers,
    body: Buffer.from(await response.body.arrayBuffer()),
  };
}

/** The issuer of a device, as its chain has it. */
function issuerOf(device: DeviceIdentity) {
  const certificate = new X509Certificate(pems(device.certificate)[1]!);
  const { publicKey, raw } = certificate;
  return { identity: issuerIdentityOf(raw), publicKey, algorithm: signatureAlgorithmOf(publicKey) };
}

const crlOf = async (house: House, device: DeviceIdentity) =>
  readCrl((await fetched(`${house.doors.pki}/crl/issuing.crl`)).body, issuerOf(device));

async function ocspOf(house: House, device: DeviceIdentity, serial = serialOf(device.certificate)) {
  const der = ocspRequest(issuerOf(device).identity, [serial]);
  const { status, body } = await fetched(`${house.doors.pki}/ocsp`, 'POST', der, {
    'content-type': 'application/ocsp-request',
  });
  expect(status).toBe(200);
  return readAnswer(body);
}

describe('a house', () => {
  let house: House;
  let device: DeviceIdentity;
  beforeAll(async () => {
    house = await House.start();
    device = await house.api.enroll('plant', 'pump');
  });
  afterAll(() => house[Symbol.asyncDispose]());

  test('a certificate says where its CRL, its OCSP responder and its issuer are, and they are there', async () => {
    const leaf = new X509Certificate(device.certificate);
    const { pki } = house.doors;
    expect(leaf.infoAccess).toContain(`OCSP - URI:${pki}/ocsp`);
    expect(leaf.infoAccess).toContain(`CA Issuers - URI:${pki}/ca/issuing.cer`);
    expect(leaf.raw.includes(Buffer.from(`${pki}/crl/issuing.crl`))).toBe(true);
    const issuer = new X509Certificate((await fetched(`${pki}/ca/issuing.cer`)).body);
    expect(leaf.checkIssued(issuer)).toBe(true);
    expect((await fetched(`${pki}/ca/root.cer`)).headers['content-type']).toBe('application/pkix-cert');
    expect((await crlOf(house, device)).nextUpdateMs).toBeGreaterThan(Date.now() + 23 * 3_600_000);
  });

  test('good, then within a second of its revocation revoked by both; never issued is unknown', async () => {
    const doomed = await house.api.enroll('plant', 'doomed');
    const before = await crlOf(house, device);
    expect(await ocspOf(house, doomed)).toMatchObject({ statuses: ['good'], verified: true });
    expect(await ocspOf(house, doomed, '4a'.repeat(20))).toMatchObject({ statuses: ['unknown'] });
    const begun = performance.now();
    await house.api.call('POST', '/v1/devices/doomed/revoke', { reason: 'keyCompromise' });
    expect(await ocspOf(house, doomed)).toMatchObject({ statuses: ['revoked'], reason: 1, verified: true });
    const after = await eventually(async () => {
      const crl = await crlOf(house, device);
      expect(crl.der.includes(Buffer.from(serialOf(doomed.certificate), 'hex'))).toBe(true);
      return crl;
    });
    expect(performance.now() - begun).toBeLessThan(1000);
    expect(after.number).toBeGreaterThan(before.number);
    expect(await ocspOf(house, device)).toMatchObject({ statuses: ['good'] });
  });

  test('the metric says when the list ends', async () => {
    const { nextUpdateMs } = await crlOf(house, device);
    const { body } = await fetched(`${house.doors.ops}/metrics`);
    expect(body.toString()).toContain(
      `fleetgate_crl_next_update_timestamp_seconds{issuer="issuing"} ${nextUpdateMs / 1000}`,
    );
  });

  test('a CRL can be cached for a minute and is asked for again by its tag', async () => {
    const url = `${house.doors.pki}/crl/issuing.crl`;
    const first = await fetched(url);
    expect(first.headers).toMatchObject({
      'content-type': 'application/pkix-crl',
      'cache-control': 'public, max-age=60, must-revalidate',
    });
    const { thisUpdateMs } = await crlOf(house, device);
    expect(Date.parse(String(first.headers['last-modified']))).toBe(thisUpdateMs);
    const again = await fetched(url, 'GET', undefined, { 'if-none-match': String(first.headers.etag) });
    expect(again).toMatchObject({ status: 304, body: Buffer.alloc(0) });
    expect(await fetched(url, 'HEAD')).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    expect((await fetched(url.replace('issuing', 'nobody'))).status).toBe(404);
    expect((await fetched(`${house.doors.pki}/ca/constructor.cer`)).status).toBe(404);
  });

  test('OCSP by GET takes base64 with / + = as they are and percent-encoded, and tells caches how long it holds', async () => {
    const { identity } = issuerOf(device);
    // Of these three some base64 has each of the letters.
    const forms = new Set<string>();
    for (const serial of [serialOf(device.certificate), '4afbff'.repeat(6), '4bef'.repeat(9)]) {
      const der = ocspRequest(identity, [serial], { by: 'sha256' });
      const base64 = der.toString('base64');
      for (const letter of base64.match(/[/+=]/g) ?? []) forms.add(letter);
      for (const path of [base64, encodeURIComponent(base64)]) {
        const { status, headers, body } = await fetched(`${house.doors.pki}/ocsp/${path}`);
        expect(status).toBe(200);
        expect(headers['content-type']).toBe('application/ocsp-response');
        const answer = readAnswer(body);
        expect(answer.verified).toBe(true);
        const [, maxAge] = /^max-age=(\d+), public, no-transform, must-revalidate$/.exec(
          String(headers['cache-control']),
        )!;
        expect(Number(maxAge)).toBeGreaterThan(1700);
        expect(Number(maxAge)).toBeLessThanOrEqual(1800);
        expect(Date.parse(String(headers.expires))).toBe(answer.nextUpdateMs);
        expect(Date.parse(String(headers['last-modified']))).toBe(answer.thisUpdateMs);
      }
    }
    expect([...forms].sort()).toEqual(['+', '/', '=']);
  });

  test('a kept answer is asked for again by its tag; one with a nonce is for nobody else', async () => {
    const { identity } = issuerOf(device);
    const serial = serialOf(device.certificate);
    const url = `${house.doors.pki}/ocsp/${encodeURIComponent(ocspRequest(identity, [serial]).toString('base64'))}`;
    const { headers } = await fetched(url);
    expect((await fetched(url, 'GET', undefined, { 'if-none-match': String(headers.etag) })).status).toBe(
      304,
    );
    expect(await fetched(url, 'HEAD')).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    const nonce = Buffer.alloc(16, 7);
    const asked = await fetched(
      `${house.doors.pki}/ocsp`,
      'POST',
      ocspRequest(identity, [serial], { nonce }),
    );
    expect(asked.headers['cache-control']).toBe('no-store');
    expect(readAnswer(asked.body).nonce).toEqual(nonce);
  });

  test('what is no request is answered as such, with 200; what is no way to ask, by HTTP', async () => {
    const url = `${house.doors.pki}/ocsp`;
    const malformed = [
      await fetched(url, 'POST', Buffer.from('hello')),
      await fetched(url, 'POST', Buffer.alloc(0)),
      await fetched(`${url}/`),
      await fetched(`${url}/not-base64`),
      await fetched(`${url}/${encodeURIComponent(encodeURIComponent('MEI+/w=='))}`),
      await fetched(`${url}/${'A'.repeat(8000)}`),
    ];
    for (const { status, body, headers } of malformed) {
      expect(status).toBe(200);
      expect(headers['cache-control']).toBe('no-store');
      expect(ocspCode(body)).toBe(OCSPResponseStatus.malformedRequest);
    }
    // Not a URL at all.
    expect((await fetched(`${url}/%ZZ`)).status).toBe(400);
    for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS'])
      expect(await fetched(url, method)).toMatchObject({
        status: 405,
        headers: { allow: 'GET, HEAD, POST' },
      });
    expect((await fetched(`${house.doors.pki}/crl/issuing.crl`, 'POST')).status).toBe(405);
    expect((await fetched(url, 'POST', Buffer.alloc(4097))).status).toBe(413);
    expect((await fetched(url, 'POST', Buffer.alloc(1 << 20)).catch(() => ({ status: 413 }))).status).toBe(
      413,
    );
    expect((await fetched(url, 'POST', Buffer.alloc(4096))).status).toBe(200);
  });

  test('the doors staple an answer about their own certificate to whoever asks', async () => {
    for (const door of ['mqtts', 'https', 'registry'] as const) {
      const stapled = await stapledBy(house.port(door), device.ca);
      expect(readAnswer(stapled)).toMatchObject({ statuses: ['good'], verified: true });
    }
  });

  withPrograms(['openssl'], 'OpenSSL', () => {
    test('sees a revoked device by CRL and OCSP, and the doors by their staple', async () => {
      const dir = await mkdtemp(join(tmpdir(), 'openssl-'));
      const gone = await house.api.enroll('plant', 'gone');
      for (const [name, { certificate }] of Object.entries({ good: device, gone }))
        await writeFile(join(dir, `${name}.pem`), pems(certificate)[0]!);
      await writeFile(join(dir, 'issuing.pem'), pems(device.certificate)[1]!);
      await writeFile(join(dir, 'ca.pem'), device.ca);
      await house.api.call('POST', '/v1/devices/gone/revoke', { reason: 'superseded' });
      const { pki } = house.doors;
      const serial = Buffer.from(serialOf(gone.certificate), 'hex');
      const crl = await eventually(async () => {
        const { der } = await crlOf(house, device);
        expect(der.includes(serial)).toBe(true);
        return der;
      });
      await writeFile(join(dir, 'issuing.crl'), crl);
      const listed = await run(
        `openssl crl -inform DER -in issuing.crl -out crl.pem
         openssl verify -crl_check -CRLfile crl.pem -partial_chain -CAfile issuing.pem good.pem
         ! openssl verify -crl_check -CRLfile crl.pem -partial_chain -CAfile issuing.pem gone.pem`,
        dir,
      );
      expect(listed.stdout).toContain('good.pem: OK');
      expect(listed.stderr).toContain('certificate revoked');
      const said = await run(
        `openssl ocsp -issuer issuing.pem -cert good.pem -cert gone.pem -url ${pki}/ocsp -CAfile ca.pem
         openssl ocsp -issuer issuing.pem -cert gone.pem -no_nonce -reqout gone.req
         curl -sf "${pki}/ocsp/$(base64 -w0 gone.req | sed 's/+/%2B/g; s#/#%2F#g; s/=/%3D/g')" -o gone.res
         openssl ocsp -issuer issuing.pem -cert gone.pem -no_nonce -respin gone.res -CAfile ca.pem`,
        dir,
      );
      expect(said.stdout).toMatch(
        /good\.pem: good[\s\S]*gone\.pem: revoked[\s\S]*superseded[\s\S]*gone\.pem: revoked/,
      );
      expect(said.stderr.match(/Response verify OK/g)).toHaveLength(2);
      const stapled = await run(
        `openssl s_client -connect 127.0.0.1:${house.port('mqtts')} -status -CAfile ca.pem </dev/null`,
        dir,
      );
      expect(stapled.stdout).toContain('OCSP Response Status: successful (0x0)');
      expect(stapled.stdout).toContain('Cert Status: good');
      await rm(dir, { recursive: true });
    });
  });
});

describe('over restarts', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'restart-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  test('what was revoked stays so, the number only grows, and a restored database does not turn it back', async () => {
    const file = join(dir, 'data', 'registry.db');
    let device: DeviceIdentity;
    let numbers: bigint[];
    {
      await using house = await House.start({ dir });
      device = await house.api.enroll('plant', 'pump');
      numbers = [(await eventually(() => crlOf(house, device))).number];
    }
    const live = new Database(file);
    await live.backup(join(dir, 'backup.db'));
    live.close();
    {
      await using house = await House.start({ dir });
      // Several lists in a second, so that the seconds alone would not do.
      for (const id of ['a', 'b', 'c']) {
        await house.api.enroll('plant', id);
        await house.api.call('POST', `/v1/devices/${id}/revoke`);
      }
      await house.api.call('POST', '/v1/devices/pump/revoke');
      await eventually(async () => {
        const { der, number } = await crlOf(house, device);
        expect(der.includes(Buffer.from(serialOf(device.certificate), 'hex'))).toBe(true);
        numbers.push(number);
      });
    }
    {
      await using house = await House.start({ dir });
      expect(await ocspOf(house, device)).toMatchObject({ statuses: ['revoked'] });
      // Served at once: the one that was kept, or a newer one.
      const { der, number } = await crlOf(house, device);
      expect(der.includes(Buffer.from(serialOf(device.certificate), 'hex'))).toBe(true);
      numbers.push(number);
    }
    await copyFile(join(dir, 'backup.db'), file);
    for (const rest of ['-wal', '-shm']) await rm(`${file}${rest}`, { force: true });
    {
      await using house = await House.start({ dir });
      const last = numbers.at(-1)!;
      const { number } = await eventually(async () => {
        const crl = await crlOf(house, device);
        expect(crl.number).toBeGreaterThan(last);
        return crl;
      });
      numbers.push(number);
    }
    expect(numbers).toEqual([...numbers].sort((a, b) => (a < b ? -1 : 1)));
  });

  test('a list that was half written, or is of somebody else, is not served, and another is made', async () => {
    const kept = join(dir, 'data', 'crl', 'issuing.crl');
    const whole = await readFile(kept);
    for (const broken of [
      whole.subarray(0, whole.length - 40),
      Buffer.alloc(0),
      Buffer.from(whole).fill(1, 60, 70),
    ]) {
      await writeFile(kept, broken);
      await using house = await House.start({ dir });
      const device = await house.api.enroll('plant', `after-${systemClock.now()}`);
      const { number } = await eventually(() => crlOf(house, device));
      expect(number).toBeGreaterThan(0n);
      expect(house.log.join('\n')).toContain('A CRL that was kept is of no use.');
    }
  });

  test('a list is renewed when half its life is over, and OCSP answers with it', async () => {
    await using house = await House.start({
      dir,
      config: 'pki: { crlLifetime: 4s, ocspLifetime: 4s, url: "http://pki.example" }\n',
    });
    const device = await house.api.enroll('plant', `short-${systemClock.now()}`);
    expect(new X509Certificate(device.certificate).infoAccess).toContain(
      'OCSP - URI:http://pki.example/ocsp',
    );
    const first = await eventually(() => crlOf(house, device));
    const answer = await ocspOf(house, device);
    await eventually(async () => {
      const crl = await crlOf(house, device);
      expect(crl.number).toBeGreaterThan(first.number);
      expect(crl.nextUpdateMs).toBeGreaterThan(Date.now());
    });
    await eventually(async () =>
      expect((await ocspOf(house, device)).thisUpdateMs).toBeGreaterThan(answer.thisUpdateMs),
    );
  });
});
