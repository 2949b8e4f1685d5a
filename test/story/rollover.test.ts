/** The issuing CA is rolled over under a fleet that goes on, in one process and in two, over restarts and over a kill. */
import { type ChildProcess, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, test, vi } from 'vitest';
import { rolloverSteps } from '../../registry/authority/issuer-rollover.ts';
import { type ApiClient, apiClient, type DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { command, type Doors, end, House, startCommand } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { sh, withPrograms } from '../harness/peer-program.ts';

/** Half a dozen processes are started one after another. */
vi.setConfig({ testTimeout: 120_000 });

const v5 = { protocolVersion: 5 as const };
const portOf = (url: string) => Number(new URL(url).port);
const issuerOf = ({ certificate }: DeviceIdentity) => new X509Certificate(certificate).issuer;
const online = async (device: DeviceIdentity, port: number) =>
  (await connectDevice(device, port, v5)).client.endAsync();

/** By id. */
async function census(api: ApiClient) {
  const { items } = (await api.call('GET', '/v1/issuers')).body;
  return Object.fromEntries(
    // biome-ignore lint/suspicious/noExplicitAny: an answer of the API
    items.map(({ id, state, certificates, devices }: any) => [id, [state, certificates, devices]]),
  );
}
const done = async (api: ApiClient, path: string) =>
  expect(await api.call('POST', `/v1/issuers/${path}`)).toMatchObject({ status: 200 });

/** The whole rollover with a fleet of three, at the gateway of `port`; `restart` begins everything anew. */
async function rollOver(
  at: () => { api: ApiClient; port: number },
  restart: () => Promise<void>,
  apart: boolean,
) {
  const { api } = at();
  const [pump, lamp, gate] = await Promise.all(['pump', 'lamp', 'gate'].map((id) => api.enroll('plant', id)));
  for (const device of [pump!, lamp!, gate!]) await eventually(() => online(device, at().port));
  const added = await api.call('POST', '/v1/issuers', { name: 'second' });
  expect(added).toMatchObject({ status: 201, body: { id: 'issuing-2', name: 'second', state: 'active' } });
  expect((await api.enroll('plant', 'early')).certificate).toContain(pump!.certificate.slice(-200));
  await done(api, 'issuing-2/prefer');
  const moved = await api.enroll('plant', 'pump');
  const fresh = await api.enroll('plant', 'fresh');
  expect(issuerOf(fresh)).toBe(issuerOf(moved));
  expect(issuerOf(fresh)).not.toBe(issuerOf(lamp!));
  expect(fresh.ca + fresh.certificate).toContain(added.body.certificate);
  await api.call('DELETE', '/v1/devices/early');
  for (const device of [moved, fresh, lamp!, pump!, moved]) await eventually(() => online(device, at().port));
  await eventually(async () =>
    expect(await census(api)).toEqual({ issuing: ['active', 3, 2], 'issuing-2': ['preferred', 2, 2] }),
  );

  expect((await api.call('POST', '/v1/issuers/issuing-2/drain')).body.code).toBe('conflict');
  expect((await api.call('DELETE', '/v1/issuers/issuing-2?force=true')).body.code).toBe('conflict');
  await done(api, 'issuing/drain');
  expect((await api.call('GET', '/v1/status')).body.verdict).toContain(
    'The issuer issuing is draining: 2 device(s) used it last, 3 live certificate(s) are of it.',
  );
  await restart();
  await rest(at(), { lamp: lamp!, gate: gate!, fresh, moved, pump: pump! }, apart);
  await restart();
  await expect(connectDevice(lamp!, at().port, v5)).rejects.toMatchObject({ code: 0x87 });
  await eventually(() => online(fresh, at().port));
  expect(await census(at().api)).toMatchObject({
    issuing: ['removed', 3, 2],
    'issuing-2': ['preferred', 2, 2],
  });
}

async function rest(
  { api, port }: { api: ApiClient; port: number },
  fleet: Record<'lamp' | 'gate' | 'fresh' | 'moved' | 'pump', DeviceIdentity>,
  apart: boolean,
) {
  const [old, other] = await Promise.all([
    eventually(() => connectDevice(fleet.lamp, port, v5)),
    eventually(() => connectDevice(fleet.fresh, port, v5)),
  ]);
  const dry = await api.call('DELETE', '/v1/issuers/issuing?dryRun=true');
  expect(dry.body).toEqual({
    dryRun: true,
    devices: 2,
    certificates: 3,
    sessions: 1,
    first: ['gate', 'lamp'],
    complete: true,
  });
  const refused = await api.call('DELETE', '/v1/issuers/issuing');
  expect(refused).toMatchObject({ status: 409, body: { code: 'conflict', certificates: 3 } });
  expect(old.client.connected).toBe(true);

  const receipt = await api.call('DELETE', '/v1/issuers/issuing?force=true');
  expect(await old.closed).not.toBeNull();
  expect(receipt.body).toMatchObject({ complete: true, sessions: [{ protocol: 'mqtt5' }] });
  expect(receipt.body.sessions[0].gateway).toBe(apart ? 'north' : 'gateway');
  expect(receipt.body.sessions[0].closedAfterMs).toBeLessThan(100);
  expect(other.client.connected).toBe(true);
  for (const device of [fleet.lamp, fleet.gate, fleet.pump])
    await expect(connectDevice(device, port, v5)).rejects.toMatchObject({ code: 0x87 });
  const { items } = (await api.call('GET', '/v1/decisions?reason=issuer-not-trusted')).body;
  expect(items.map(({ device }: { device: string }) => device).sort()).toEqual(['gate', 'lamp', 'pump']);
  await online(fleet.moved, port);
  expect((await api.call('DELETE', '/v1/issuers/issuing?force=true')).body.code).toBe('conflict');
  await other.client.endAsync();
  expect((await api.call('GET', '/v1/audit/verdict')).body.intact).toBe(true);
}

test('on a gateway in the same process', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rollover-'));
  let house = await House.start({ dir });
  try {
    const at = () => ({ api: house.api, port: house.port('mqtts') });
    await rollOver(
      at,
      async () => {
        await house[Symbol.asyncDispose]();
        house = await House.start({ dir });
      },
      false,
    );
    const kept = readdirSync(join(dir, 'data', 'ca'));
    expect(kept).toContain('issuing.key.removed');
    expect(kept).not.toContain('issuing.key');
  } finally {
    await house[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  }
});

test('on a gateway apart', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rollover-apart-'));
  type RegistryDoors = Pick<Doors, 'registry' | 'pki' | 'ca' | 'adminTokenFile'>;
  let registry: { child: ChildProcess; doors: RegistryDoors };
  let gateway: { child: ChildProcess; doors: Pick<Doors, 'mqtts'> };
  let api: ApiClient;
  const open = async (port: string) => {
    const data = join(dir, 'r');
    registry = await startCommand(['registry', '--data', data, '--registry-port', port, '--pki-port', '0']);
    const { registry: url, ca, adminTokenFile } = registry.doors;
    const free = ['mqtts', 'https', 'ops'].flatMap((door) => [`--${door}-port`, '0']);
    const joining = ['--registry', url, '--ca', ca, '--token-file', adminTokenFile, '--name', 'north'];
    gateway = await startCommand(['gateway', '--data', join(dir, 'g'), ...joining, ...free]);
    api = apiClient(url, readFileSync(ca, 'utf8'), readFileSync(adminTokenFile, 'utf8').trim());
  };
  const close = async () => {
    await api.close();
    await end(gateway.child, 'SIGTERM');
    await end(registry.child, 'SIGTERM');
  };
  await open('0');
  try {
    await rollOver(
      () => ({ api, port: portOf(gateway.doors.mqtts) }),
      async () => {
        await close();
        await open(String(portOf(registry.doors.registry)));
      },
      true,
    );
  } finally {
    await close();
    rmSync(dir, { recursive: true });
  }
});

describe('killed while an issuer is made', () => {
  async function start(dir: string, deadly?: string) {
    const args = ['test/harness/registry-child.ts', dir, ...(deadly ? [deadly] : [])];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface({ input: child.stdout! })) {
      if (!line.startsWith('ready ')) continue;
      const { registry, ca, adminTokenFile } = JSON.parse(line.slice(6)) as Record<string, string>;
      const token = readFileSync(adminTokenFile!, 'utf8').trim();
      return { child, ca: ca!, api: apiClient(registry!, readFileSync(ca!, 'utf8'), token) };
    }
    throw new Error('the registry ended before it was ready');
  }

  test.each(rolloverSteps)('before %s: it starts again, with a whole one or none', async (step) => {
    const dir = mkdtempSync(join(tmpdir(), 'rollover-crash-'));
    const first = await start(dir, step);
    await expect(first.api.call('POST', '/v1/issuers', {})).rejects.toThrow();
    await first.api.close();
    const second = await start(dir);
    const { items } = (await second.api.call('GET', '/v1/issuers')).body;
    const whole = step === 'publish-issuer';
    expect(items.map(({ id }: { id: string }) => id)).toEqual(whole ? ['issuing', 'issuing-2'] : ['issuing']);
    expect(existsSync(join(dir, 'ca', 'issuing-2.key'))).toBe(whole);
    // A key is never deleted.
    expect(existsSync(join(dir, 'ca', 'issuing-2.key.removed'))).toBe(!whole && step !== 'make-issuer-key');
    for (const { certificate } of items) expect(readFileSync(second.ca, 'utf8')).toContain(certificate);
    const next = await second.api.call('POST', '/v1/issuers', {});
    expect(next).toMatchObject({
      status: 201,
      body: { id: step === 'make-issuer-key' ? 'issuing-2' : 'issuing-3', state: 'active' },
    });
    await done(second.api, `${next.body.id}/prefer`);
    expect(issuerOf(await second.api.enroll('plant', 'pump'))).toBe(next.body.subject.split(', ').join('\n'));
    await second.api.close();
    await end(second.child, 'SIGTERM');
    rmSync(dir, { recursive: true });
  });
});

withPrograms(['openssl', 'curl'], 'by openssl', () => {
  test('chains, CRLs and OCSP answers of both issuers are good, and leaves say where theirs are', async () => {
    await using house = await House.start();
    const { api, dir } = house;
    const devices = [await api.enroll('plant', 'one')];
    expect((await api.call('POST', '/v1/issuers', { keyType: 'P-384' })).status).toBe(201);
    await done(api, 'issuing-2/prefer');
    devices.push(await api.enroll('plant', 'two'));
    for (const [index, id] of ['issuing', 'issuing-2'].entries()) {
      const { certificate } = devices[index]!;
      writeFileSync(join(dir, 'leaf.crt'), certificate);
      const base = house.doors.pki;
      const text = sh('openssl x509 -in leaf.crt -noout -text', dir);
      expect(text).toContain(`${base}/crl/${id}.crl`);
      expect(text).toContain(`${base}/ca/${id}.cer`);
      const verify = `
        curl -sSf ${base}/ca/${id}.cer | openssl x509 -inform DER > issuer.pem
        curl -sSf ${base}/ca/root.pem > root.pem
        curl -sSf ${base}/crl/${id}.crl | openssl crl -inform DER > list.pem
        openssl verify -x509_strict -crl_check -CRLfile list.pem -CAfile root.pem -untrusted issuer.pem leaf.crt
        openssl verify -CAfile ${house.doors.ca} leaf.crt
        openssl ocsp -issuer issuer.pem -cert leaf.crt -no_nonce -url ${base}/ocsp -CAfile root.pem 2>&1`;
      const said = await eventually(() => sh(`set -e${verify}`, dir));
      expect(said.match(/leaf\.crt: (OK|good)/g)).toEqual(['leaf.crt: OK', 'leaf.crt: OK', 'leaf.crt: good']);
      await api.call('POST', `/v1/certificates/${devices[index]!.fingerprint}/revoke`);
      const serial = new X509Certificate(certificate).serialNumber;
      await eventually(() =>
        expect(sh(`curl -sSf ${base}/crl/${id}.crl | openssl crl -inform DER -noout -text`, dir)).toContain(
          serial,
        ),
      );
    }
  });

  test('a root that is elsewhere signs the CSR; the certificate is imported, by the command', async () => {
    await using house = await House.start();
    const { dir } = house;
    const data = join(dir, 'data');
    const fleetgate = `${process.execPath} ${command} issuers`;
    const json = (what: string) => JSON.parse(sh(`${fleetgate} ${what} --data ${data} --json`, dir));
    sh(
      `mv ${data}/ca/root.key root.sealed; openssl pkey -in root.sealed -passin file:${data}/ca.passphrase -out root.key`,
      dir,
    );
    const added = json('add --name offline');
    expect(added).toMatchObject({ id: 'issuing-2', state: 'pending', certificate: null });
    expect((await house.api.call('POST', '/v1/issuers/issuing-2/prefer')).body.code).toBe('conflict');
    writeFileSync(join(dir, 'issuing-2.csr'), added.csr);
    const wrong =
      'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n';
    const right =
      'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n';
    const sign = (extensions: string) => {
      writeFileSync(join(dir, 'ext'), extensions);
      sh(
        `openssl x509 -req -in issuing-2.csr -CA ${data}/ca/root.crt -CAkey root.key -days 99 -extfile ext -out issuing-2.crt`,
        dir,
      );
    };
    sign(wrong);
    const refused = await house.api.call('POST', '/v1/issuers/issuing-2/certificate', {
      certificate: readFileSync(join(dir, 'issuing-2.crt'), 'utf8'),
    });
    expect(refused).toMatchObject({ status: 400, body: { code: 'malformed' } });
    expect(refused.body.objections).toHaveLength(2);
    sign(right);
    await house.kill('SIGKILL');
    await using again = await House.start({ dir });
    expect(json('import issuing-2 issuing-2.crt')).toMatchObject({ state: 'active', csr: null });
    sh(`${fleetgate} prefer issuing-2 --data ${data}`, dir);
    const device = await again.api.enroll('plant', 'pump');
    writeFileSync(join(dir, 'leaf.crt'), device.certificate);
    expect(sh(`openssl verify -CAfile ${data}/ca/root.crt -untrusted leaf.crt leaf.crt`, dir)).toContain(
      'OK',
    );
    // A leaf ends with its issuer at the latest.
    const [leaf, issuing] = [device.certificate, readFileSync(join(dir, 'issuing-2.crt'))].map(
      (pem) => new X509Certificate(pem),
    );
    expect(leaf!.validTo).toBe(issuing!.validTo);
    expect(sh(`${fleetgate} list --data ${data}`, dir)).toMatch(
      /issuing\tactive\t0\t0\t[\s\S]*issuing-2\tpreferred\t1\t1\t/,
    );
    expect(sh(`${fleetgate} remove issuing --dry-run --data ${data}`, dir)).toContain(
      '0 device(s) would lose access',
    );
    expect(sh(`${fleetgate} remove issuing --data ${data}`, dir)).toContain('The issuer issuing is removed');
    expect(readFileSync(again.doors.ca, 'utf8').match(/BEGIN/g)).toHaveLength(2);
    await online(device, again.port('mqtts'));
  });
});
