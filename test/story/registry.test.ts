/** What the registry promises to those who enroll, operate and audit. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { eventually } from '../harness/eventually.ts';
import { command, House, startCommand } from '../harness/house.ts';
import { withPrograms } from '../harness/peer-program.ts';

let house: House;
const call: House['api']['call'] = (...args) => house.api.call(...args);
beforeAll(async () => {
  house = await House.start();
  await call('POST', '/v1/fleets', { id: 'plant' });
  await call('POST', '/v1/fleets', { id: 'yard' });
});
afterAll(() => house[Symbol.asyncDispose]());

const tokenFor = async (body: object = {}, fleet = 'plant') =>
  (await call('POST', `/v1/fleets/${fleet}/tokens`, body)).body as { id: string; token: string };
const csrOf = (id: string) => makeCsr(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, id);
const enroll = (deviceId: string, csr: string, token: string, headers = {}) =>
  call('POST', '/v1/enroll', { deviceId, csr }, { authorization: `Bearer ${token}`, ...headers });

describe('enrollment tokens', () => {
  test('a token for one use, used by twenty at once, is good once', async () => {
    const { token } = await tokenFor();
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => enroll(`race-${n}`, await csrOf(`race-${n}`), token)),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    const refused = answers.filter(({ status }) => status !== 201);
    expect(new Set(refused.map(({ body }) => body.code))).toEqual(new Set(['token-spent']));
  });

  test('a token for three uses is good three times', async () => {
    const { token } = await tokenFor({ uses: 3 });
    const statuses: number[] = [];
    for (let n = 0; n < 4; n++) statuses.push((await enroll(`n-${n}`, await csrOf(`n-${n}`), token)).status);
    expect(statuses).toEqual([201, 201, 201, 401]);
  });

  test('bound to a device, expired, revoked, unknown: each refusal has its word', async () => {
    const bound = await tokenFor({ deviceId: 'only-me' });
    expect((await enroll('somebody', await csrOf('somebody'), bound.token)).body.code).toBe('token-scope');
    const brief = await tokenFor({ ttl: '1ms' });
    await eventually(async () =>
      expect((await enroll('late', await csrOf('late'), brief.token)).body.code).toBe('token-expired'),
    );
    const gone = await tokenFor();
    expect((await call('DELETE', `/v1/tokens/${gone.id}`)).status).toBe(204);
    expect((await enroll('gone', await csrOf('gone'), gone.token)).body.code).toBe('token-invalid');
    expect((await enroll('nobody', await csrOf('nobody'), 'fge_nothing')).body.code).toBe('token-invalid');
  });

  test('no token is in the database, only its hash', async () => {
    const { token } = await tokenFor();
    const admin = readFileSync(house.doors.adminTokenFile, 'utf8').trim();
    for (const file of ['registry.db', 'registry.db-wal']) {
      const bytes = readFileSync(join(house.dir, 'data', file));
      expect(bytes.includes(token)).toBe(false);
      expect(bytes.includes(admin)).toBe(false);
    }
  });

  test('a refused CSR spends nothing', async () => {
    const { token } = await tokenFor();
    expect((await enroll('careful', await csrOf('careless'), token)).body.code).toBe('csr-subject');
    expect((await enroll('careful', await csrOf('careful'), token)).status).toBe(201);
  });
});

withPrograms(['openssl'], 'CSRs that break a rule, each by its name', () => {
  const dir = mkdtempSync(join(tmpdir(), 'csr-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const openssl = (script: string) => {
    execFileSync('bash', ['-euc', `${script} -out c.csr 2>&1`], { cwd: dir, stdio: 'pipe' });
    return readFileSync(join(dir, 'c.csr'), 'utf8');
  };
  const p256 = 'openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k';
  const flip = (pem: string) => {
    const der = Buffer.from(pem.replace(/-----.*-----|\s/g, ''), 'base64');
    der[der.length - 5]! ^= 1;
    return `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  };

  const broken: [what: string, make: () => string, code: string, status: number][] = [
    ['another device in its CN', () => openssl(`${p256} -subj /CN=other`), 'csr-subject', 422],
    ['two CNs', () => openssl(`${p256} -subj /CN=d/CN=d2`), 'csr-subject', 422],
    [
      'another URI',
      () => openssl(`${p256} -subj /CN=d -addext subjectAltName=URI:spiffe://evil/d`),
      'csr-san',
      422,
    ],
    ['a DNS name', () => openssl(`${p256} -subj /CN=d -addext subjectAltName=DNS:d`), 'csr-san', 422],
    [
      'CA:TRUE',
      () => openssl(`${p256} -subj /CN=d -addext basicConstraints=CA:TRUE`),
      'csr-ca-requested',
      422,
    ],
    [
      'keyCertSign',
      () => openssl(`${p256} -subj /CN=d -addext keyUsage=keyCertSign`),
      'csr-ca-requested',
      422,
    ],
    [
      'serverAuth',
      () => openssl(`${p256} -subj /CN=d -addext extendedKeyUsage=serverAuth`),
      'csr-usage',
      422,
    ],
    [
      'RSA of 1024 bits',
      () => openssl('openssl req -new -newkey rsa:1024 -nodes -keyout k -subj /CN=d'),
      'csr-key-weak',
      422,
    ],
    [
      'an odd curve',
      () =>
        openssl(
          'openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -keyout k -subj /CN=d',
        ),
      'csr-key-type',
      422,
    ],
    [
      'explicit curve parameters',
      () =>
        openssl(
          'openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit -nodes -keyout k -subj /CN=d',
        ),
      'csr-key-type',
      422,
    ],
    ['a signature that does not verify', () => flip(openssl(`${p256} -subj /CN=d`)), 'csr-signature', 422],
    ['something that is no PEM', () => 'hello', 'csr-malformed', 400],
    ['a certificate instead', () => readFileSync(house.doors.ca, 'utf8'), 'csr-malformed', 400],
    [
      'DER cut short',
      () => openssl(`${p256} -subj /CN=d`).replace(/(\n[A-Za-z0-9+/=]+)(\n-----END)/, '$2'),
      'csr-malformed',
      400,
    ],
  ];

  test.each(broken)('%s', async (_what, make, code, status) => {
    const { token } = await tokenFor();
    const answer = await enroll('d', make(), token);
    expect(answer.status).toBe(status);
    expect(answer.body.code ?? '').toBe(code);
  });

  test('a key that another device has already', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const [one, two] = [await tokenFor(), await tokenFor()];
    expect((await enroll('key-1', await makeCsr(privateKey, 'key-1'), one.token)).status).toBe(201);
    const answer = await enroll('key-2', await makeCsr(privateKey, 'key-2'), two.token);
    expect(answer).toMatchObject({ status: 409, body: { code: 'csr-key-reused' } });
  });

  test('a device of another fleet, and one that was revoked', async () => {
    const [a, b] = [await tokenFor(), await tokenFor({}, 'yard')];
    await enroll('mover', await csrOf('mover'), a.token);
    expect((await enroll('mover', await csrOf('mover'), b.token)).status).toBe(409);
    await call('POST', '/v1/devices/mover/revoke');
    const c = await tokenFor();
    expect((await enroll('mover', await csrOf('mover'), c.token)).body.code).toBe('device-revoked');
  });
});

test('the profile is ours: nothing of the CSR but its key is in the certificate', async () => {
  const { token } = await tokenFor();
  const { body } = await enroll('plain', await csrOf('plain'), token);
  const { X509Certificate } = await import('node:crypto');
  const leaf = new X509Certificate(body.certificate);
  expect(leaf.subject).toBe('CN=plain');
  expect(leaf.subjectAltName).toBe('URI:spiffe://fleetgate.local/fleet/plant/device/plain');
  expect(leaf.ca).toBe(false);
  expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(BigInt(`0x${leaf.serialNumber}`).toString(2).length).toBeLessThanOrEqual(159);
  expect(new Date(leaf.validFrom).getTime()).toBeLessThan(new Date(body.notBefore).getTime() + 1000);
  const issuing = new X509Certificate(body.chain);
  expect(new Date(leaf.validTo) <= new Date(issuing.validTo)).toBe(true);
});

test('Idempotency-Key: the same request gets the same answer, another is refused', async () => {
  const { token } = await tokenFor();
  const csr = await csrOf('twice');
  const key = { 'idempotency-key': 'enroll-twice-1' };
  const first = await enroll('twice', csr, token, key);
  const second = await enroll('twice', csr, token, key);
  expect(second).toMatchObject({
    status: 201,
    body: first.body,
    headers: { 'idempotency-replayed': 'true' },
  });
  expect((await enroll('other', csr, token, key)).status).toBe(409);
});

test('roles of API tokens: each may what its table says', async () => {
  const may = async (role: string) => {
    const { body } = await call('POST', '/v1/api-tokens', { name: role, role });
    const as = { authorization: `Bearer ${body.token}` };
    return [
      (await call('GET', '/v1/devices', undefined, as)).status,
      (await call('POST', '/v1/fleets/plant/tokens', {}, as)).status,
      (await call('POST', '/v1/devices/nobody/revoke', undefined, as)).status,
      (await call('GET', '/v1/api-tokens', undefined, as)).status,
    ];
  };
  expect(await may('viewer')).toEqual([200, 403, 403, 403]);
  expect(await may('enroller')).toEqual([200, 201, 403, 403]);
  expect(await may('operator')).toEqual([200, 201, 404, 403]);
  expect(await may('admin')).toEqual([200, 201, 404, 200]);
  expect((await call('GET', '/v1/devices', undefined, { authorization: '' })).status).toBe(401);
});

test('lists page by cursor, without losing or repeating', async () => {
  const { token } = await tokenFor({ uses: 25 }, 'yard');
  await Promise.all(
    Array.from({ length: 25 }, async (_, n) => enroll(`page-${n}`, await csrOf(`page-${n}`), token)),
  );
  const seen: string[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await call('GET', `/v1/devices?fleet=yard&limit=10${cursor && `&cursor=${cursor}`}`);
    seen.push(...body.items.map(({ id }: { id: string }) => id));
    if (!body.nextCursor) break;
    cursor = encodeURIComponent(body.nextCursor);
  }
  expect(seen).toHaveLength(25);
  expect(new Set(seen).size).toBe(25);
});

test('the feed can be resumed anywhere, and gives what it gave before', async () => {
  const { Agent, request } = await import('undici');
  const agent = new Agent({ connect: { ca: readFileSync(house.doors.ca, 'utf8') } });
  const token = readFileSync(house.doors.adminTokenFile, 'utf8').trim();
  const head = ((await call('GET', '/v1/status')).body as { lastChange: number }).lastChange;
  const read = async (since: number) => {
    const controller = new AbortController();
    const { body } = await request(`${house.doors.registry}/v1/changes?since=${since}`, {
      dispatcher: agent,
      headers: { authorization: `Bearer ${token}` },
      signal: controller.signal,
    });
    let text = '';
    for await (const chunk of body) {
      text += chunk;
      // Empty lines say that the feed is alive.
      const lines = text
        .split('\n')
        .slice(0, -1)
        .filter((line) => line !== '');
      if (lines.some((line) => JSON.parse(line).id === head)) {
        // The end of the request is ours.
        body.on('error', () => {});
        controller.abort();
        return lines.map((line) => JSON.parse(line)).filter(({ id }) => id !== undefined && id <= head);
      }
    }
    throw new Error('the feed ended');
  };
  const all = await read(0);
  const ids = all.map(({ id }) => id);
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
  const middle = ids[Math.floor(ids.length / 2)];
  expect(await read(middle)).toEqual(all.filter(({ id }) => id > middle));
  await agent.destroy();
});

test('errors are problem documents with a code, also for what nobody wrote a handler for', async () => {
  for (const [method, path, status, code] of [
    ['GET', '/v1/nothing', 404, 'not-found'],
    ['GET', '/v1/devices/nobody', 404, 'not-found'],
    ['POST', '/v1/fleets', 400, 'malformed'],
  ] as const) {
    const answer = await call(method, path, method === 'POST' ? { id: '' } : undefined);
    expect(answer).toMatchObject({ status, body: { status, code } });
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  }
});

describe('what lies on the disk', () => {
  test('a row of the audit that was changed is found, and named', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'audit-'));
    const first = await House.start({ dir });
    for (const id of ['a', 'b', 'c', 'd']) await first.api.call('POST', '/v1/fleets', { id });
    const entries = (await first.api.call('GET', '/v1/audit?since=0')).body.items as { id: number }[];
    await first[Symbol.asyncDispose]();
    const row = entries[3]!.id;
    const db = new Database(join(dir, 'data', 'registry.db'));
    db.prepare(`UPDATE audit SET target = 'nothing happened' WHERE id = ?`).run(row);
    db.close();
    await using second = await House.start({ dir });
    const verdict = (await second.api.call('GET', '/v1/audit/verdict')).body;
    expect(verdict).toMatchObject({ intact: false, brokenAt: row });
    let said: { status: number; stdout: string } = { status: 0, stdout: '' };
    try {
      execFileSync(process.execPath, [command, 'audit', 'verify', '--data', join(dir, 'data')], {
        encoding: 'utf8',
        stdio: 'pipe',
      });
    } catch (thrown) {
      said = thrown as typeof said;
    }
    expect(said.status).toBe(1);
    await second[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  test('a database of a newer program is refused, and left as it is', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'newer-'));
    await (await House.start({ dir }))[Symbol.asyncDispose]();
    const path = join(dir, 'data', 'registry.db');
    const db = new Database(path);
    db.pragma('user_version = 99');
    db.close();
    await expect(
      startCommand([
        'up',
        '--data',
        join(dir, 'data'),
        '--mqtts-port',
        '0',
        '--https-port',
        '0',
        '--registry-port',
        '0',
        '--pki-port',
        '0',
        '--ops-port',
        '0',
      ]),
    ).rejects.toThrow(/newer/);
    const after = new Database(path);
    expect(after.pragma('user_version', { simple: true })).toBe(99);
    after.close();
    rmSync(dir, { recursive: true });
  });

  test('every problem of a configuration is named, with line and column, before a port opens', () => {
    const dir = mkdtempSync(join(tmpdir(), 'config-'));
    const path = join(dir, 'f.yaml');
    writeFileSync(
      path,
      'mqtt:\n  maxPacketSiz: 1KiB\n  connectTimeout: soon\nroutes:\n  - { match: "#", to: [nowhere] }\n',
    );
    let said = '';
    try {
      execFileSync(process.execPath, [command, 'check', '--config', path], {
        encoding: 'utf8',
        stdio: 'pipe',
      });
    } catch (thrown) {
      said = (thrown as { stderr: string }).stderr;
    }
    expect(said).toMatch(/2:3.*maxPacketSize/s);
    expect(said).toMatch(/3:.*connectTimeout/s);
    expect(said).toMatch(/nowhere/);
    rmSync(dir, { recursive: true });
  });
});
