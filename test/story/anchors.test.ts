/** Device CAs of manufacturers: registered with a proof, on terms; their devices come in as the terms say, and no others. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { csrDer } from '#common/x509/pem.ts';
import type { ApiAnswer } from '../harness/api-client.ts';
import { askEst } from '../harness/est-client.ts';
import { eventually } from '../harness/eventually.ts';
import { ForeignCa } from '../harness/foreign-ca.ts';
import { House } from '../harness/house.ts';
import { knock, me } from '../harness/house-devices.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { withPrograms } from '../harness/peer-program.ts';

withPrograms(['openssl'], 'anchors', () => {
  let house: House;
  let dir: string;
  let ca: string;
  const port = () => house.port('mqtts');

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'maker-'));
    house = await House.start({ config: 'foreign: { maxJitDevices: 3 }\n' });
    ({ ca } = await house.api.enroll('plant', 'own'));
  });
  afterAll(async () => {
    await house[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  const order = (name: string, anchor: ForeignCa, terms: object = {}) => ({
    name,
    certificate: anchor.certificate,
    fleet: 'plant',
    mapping: [{ from: 'commonName' }],
    enrollment: 'registered',
    ...terms,
  });
  const nonceOf = async (name: string): Promise<string> =>
    (await house.api.call('POST', '/v1/anchors/challenge', { name })).body.nonce;

  /** With a proof by certificate. */
  async function register(name: string, anchor: ForeignCa, terms: object): Promise<ApiAnswer> {
    const proof = anchor.proofOf(await nonceOf(name));
    const made = await house.api.call('POST', '/v1/anchors', { ...order(name, anchor, terms), proof });
    expect(made.body.code).toBeUndefined();
    return made;
  }

  /** One line of `devices:import`. */
  async function fetchImport(line: string): Promise<object> {
    const agent = new Agent({ connect: { ca } });
    const token = readFileSync(house.doors.adminTokenFile, 'utf8').trim();
    const answer = await request(`${house.doors.registry}/v1/devices:import`, {
      method: 'POST',
      dispatcher: agent,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' },
      body: line,
    });
    const text = await answer.body.text();
    await agent.destroy();
    return JSON.parse(text);
  }

  describe('just in time', () => {
    let acme: ForeignCa;
    let line: ForeignCa;
    beforeAll(async () => {
      acme = ForeignCa.root(dir, 'acme');
      line = acme.intermediate('acme-line-1', ['basicConstraints=critical,CA:TRUE,pathlen:0']);
      await register('acme', acme, { enrollment: 'jit', template: { attributes: { maker: 'acme' } } });
    });

    test('a device comes in, over an intermediate that it sends itself, and is one like any other', async () => {
      const device = line.leaf('pump-a', ca);
      const { client } = await connectDevice(device, port());
      await client.publishAsync('devices/pump-a/telemetry', '{"n":1}', { qos: 1 });
      const { body } = await house.api.call('GET', '/v1/devices/pump-a');
      expect(body).toMatchObject({ fleet: 'plant', state: 'active', attributes: { maker: 'acme' } });
      expect(body.certificates).toMatchObject([{ issuer: 'acme', state: 'issued' }]);
      expect(body.sessions).toMatchObject([{ clientId: 'pump-a' }]);
      await client.endAsync();
      expect(await me(house, device)).toMatchObject({ status: 200, body: { device: 'pump-a' } });
      const decisions = await house.api.call('GET', '/v1/devices/pump-a/decisions');
      expect(decisions.body.items[0].checks).toContainEqual(
        expect.objectContaining({ name: 'chain trusted', passed: true, detail: 'recorded, of acme' }),
      );
    });

    test('at the HTTPS door alike', async () => {
      expect(await me(house, line.leaf('pump-b', ca))).toMatchObject({
        status: 200,
        body: { device: 'pump-b' },
      });
    });

    test('it is revoked like any other, and its session ends', async () => {
      const { closed } = await connectDevice(
        line.leaf('pump-b2', ca, { subject: '/CN=pump-b', keyOf: 'pump-b' }),
        port(),
        {
          clientId: 'pump-b',
          protocolVersion: 5,
        },
      );
      const receipt = await house.api.call('POST', '/v1/devices/pump-b/revoke');
      expect(receipt.body).toMatchObject({ complete: true, sessions: [{ protocol: 'mqtt5' }] });
      expect(await closed).toBe(0x98);
    });

    test('an intermediate that is not sent is not guessed', async () => {
      const device = line.leaf('pump-c', ca);
      const alone = { ...device, certificate: readFileSync(join(dir, 'pump-c.crt'), 'utf8') };
      expect(await knock(house, alone)).toEqual({ code: 0x87, reason: 'untrusted-certificate' });
    });

    test('a client id of another is refused, also at the first connect', async () => {
      expect(await knock(house, line.leaf('pump-d', ca), 'own')).toEqual({
        code: 0x85,
        reason: 'client-id-mismatch',
      });
    });

    test('a key speaks for one device', async () => {
      const device = line.leaf('thief', ca, { keyOf: 'pump-a' });
      expect(await knock(house, device)).toMatchObject({ reason: 'csr-key-reused' });
    });

    test('and an anchor brings in no more devices than it may', async () => {
      expect(await knock(house, line.leaf('pump-e', ca))).toEqual({ code: 0x97, reason: 'quota-exceeded' });
      expect(await house.api.call('GET', '/v1/devices/pump-e')).toMatchObject({ status: 404 });
    });

    test('what no rule maps is refused, and so is a device of another fleet', async () => {
      await house.api.enroll('elsewhere', 'pump-x');
      expect(await knock(house, acme.leaf('odd', ca, { subject: '/CN=not a device' }))).toMatchObject({
        reason: 'mapping-failed',
      });
      expect(await knock(house, acme.leaf('pump-x', ca))).toMatchObject({ reason: 'conflict' });
    });

    test('expired, not yet valid, no clientAuth, without an end: each has its word', async () => {
      const noEku = { extensions: ['extendedKeyUsage='] };
      const word = async (name: string, options: object) =>
        (await knock(house, acme.leaf(name, ca, options))).reason;
      expect(await word('late', { notBefore: '200101000000Z', notAfter: '210101000000Z' })).toBe(
        'certificate-expired',
      );
      expect(await word('early', { notBefore: '390101000000Z', notAfter: '400101000000Z' })).toBe(
        'certificate-not-yet-valid',
      );
      expect(await word('any-use', noEku)).toBe('leaf-profile');
      expect(await word('endless', { notAfter: '99991231235959Z' })).toBe('leaf-profile');
    });

    test('what is recorded ends when the first certificate of its path does', async () => {
      const { body } = await house.api.call('GET', '/v1/devices/pump-a');
      const end = execFileSync(
        'openssl',
        ['x509', '-in', 'acme-line-1.crt', '-noout', '-enddate', '-dateopt', 'iso_8601'],
        { cwd: dir, encoding: 'utf8' },
      );
      expect(body.certificates[0].notAfter.slice(0, 19)).toBe(
        end.split('=')[1]!.trim().slice(0, 19).replace(' ', 'T'),
      );
    });
  });

  test('a template may leave the devices to an operator', async () => {
    const maker = ForeignCa.root(dir, 'careful');
    await register('careful', maker, { enrollment: 'jit', template: { state: 'pending' } });
    const device = maker.leaf('shy', ca);
    expect(await knock(house, device)).toEqual({ code: 0x88, reason: 'device-pending' });
    await house.api.call('POST', '/v1/devices/shy/enable');
    expect(await knock(house, device)).toEqual({ code: 0, reason: null });
  });

  test('registered: a device that the registry does not know stays outside until it does', async () => {
    const maker = ForeignCa.root(dir, 'strict');
    await register('strict', maker, { mapping: [{ from: 'serialNumber', pattern: 'SN-{id}' }] });
    const device = { ...maker.leaf('gauge', ca, { subject: '/CN=x/serialNumber=SN-gauge' }), id: 'gauge' };
    expect(await knock(house, device)).toEqual({ code: 0x87, reason: 'unknown-certificate' });
    const imported = await fetchImport('{"id":"gauge","fleet":"plant","attributes":{"site":"north"}}\n');
    expect(imported).toMatchObject({ id: 'gauge', status: 'registered' });
    await eventually(async () => expect(await knock(house, device)).toEqual({ code: 0, reason: null }));
    await house.api.call('POST', '/v1/devices/gauge/disable');
    expect(await knock(house, device)).toEqual({ code: 0x8a, reason: 'device-disabled' });
  });

  test('enroll-only: good for an operational certificate, and for nothing else at either door', async () => {
    const maker = ForeignCa.root(dir, 'idevid');
    await register('idevid', maker, { enrollment: 'enroll-only' });
    const device = maker.leaf('factory', ca, {
      extensions: ['extendedKeyUsage='],
      notAfter: '99991231235959Z',
    });
    expect(await knock(house, device)).toEqual({ code: 0x87, reason: 'enrollment-only' });
    expect(await me(house, device)).toMatchObject({ status: 403, body: { code: 'enrollment-only' } });

    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const enroll = async (id: string) =>
      askEst(house.doors.https, 'simpleenroll', {
        ca,
        identity: device,
        csr: csrDer(await makeCsr(privateKey, id)),
      });
    expect(await enroll('own')).toMatchObject({ status: 403, code: 'token-scope' });
    expect(await enroll('factory')).toMatchObject({ status: 200 });
    const { body } = await house.api.call('GET', '/v1/devices/factory');
    expect(body).toMatchObject({ fleet: 'plant', certificates: [{ issuer: 'issuing', state: 'issued' }] });
    // The operational one lets it in; the factory's still does not.
    expect(await knock(house, device)).toMatchObject({ reason: 'enrollment-only' });

    const stranger = ForeignCa.root(dir, 'no-idevid').leaf('factory-2', ca, {
      extensions: ['extendedKeyUsage='],
    });
    const refused = await askEst(house.doors.https, 'simpleenroll', {
      ca,
      identity: stranger,
      csr: csrDer(await makeCsr(privateKey, 'factory-2')),
    });
    expect(refused).toMatchObject({ status: 401, code: 'unauthenticated' });
  });

  test('two anchors of one subject are told apart by their keys', async () => {
    const [east, west] = [
      ForeignCa.root(dir, 'east', '/CN=Same Name'),
      ForeignCa.root(dir, 'west', '/CN=Same Name'),
    ];
    await house.api.call('POST', '/v1/fleets', { id: 'west' });
    await register('east', east, { enrollment: 'jit' });
    await register('west', west, { enrollment: 'jit', fleet: 'west' });
    expect(await knock(house, east.leaf('from-east', ca))).toMatchObject({ reason: null });
    expect(await knock(house, west.leaf('from-west', ca))).toMatchObject({ reason: null });
    const fleetOf = async (id: string) => (await house.api.call('GET', `/v1/devices/${id}`)).body.fleet;
    expect([await fleetOf('from-east'), await fleetOf('from-west')]).toEqual(['plant', 'west']);
  });

  test('two intermediates may use one serial number, and so may two anchors; one CA may not use it twice', async () => {
    const maker = ForeignCa.root(dir, 'counting');
    await register('counting', maker, { enrollment: 'jit' });
    const [one, two] = [maker.intermediate('counting-1'), maker.intermediate('counting-2')];
    expect(await knock(house, one.leaf('n-1', ca, { serial: '01' }))).toMatchObject({ reason: null });
    expect(await knock(house, two.leaf('n-2', ca, { serial: '01' }))).toMatchObject({ reason: null });
    rmSync(join(dir, 'counting-1.index.txt'));
    writeFileSync(join(dir, 'counting-1.index.txt'), '');
    expect(await knock(house, one.leaf('n-3', ca, { serial: '01' }))).toMatchObject({ reason: 'conflict' });
  });

  test('all that an anchor has vouched for is revoked by one order, as of any issuer', async () => {
    const maker = ForeignCa.root(dir, 'breached');
    await register('breached', maker, { enrollment: 'jit' });
    const device = maker.leaf('of-breached', ca);
    const { closed } = await connectDevice(device, port(), { protocolVersion: 5 });
    const order = { reason: 'keyCompromise' };
    const receipt = await house.api.call('POST', '/v1/issuers/breached/revoke-certificates', order);
    expect(receipt).toMatchObject({ status: 200, body: { certificates: 1 } });
    expect(await closed).toBe(0x98);
    expect(await knock(house, device)).toEqual({ code: 0x8a, reason: 'certificate-revoked' });
  });

  test('a dry run says who would lose access; the removal ends their sessions, and they stay out', async () => {
    const maker = ForeignCa.root(dir, 'leaving');
    await register('leaving', maker, { enrollment: 'jit' });
    const device = maker.leaf('last-1', ca);
    const { closed } = await connectDevice(device, port(), { protocolVersion: 5 });
    const both = maker.leaf('last-2', ca);
    await knock(house, both);
    await house.api.enroll('plant', 'last-2');

    const preview = await house.api.call('DELETE', '/v1/anchors/leaving?dryRun=true');
    expect(preview.body).toEqual({ name: 'leaving', devices: 1, first: ['last-1'], receipt: null });
    expect(await knock(house, both)).toMatchObject({ reason: null });

    await eventually(async () =>
      expect((await house.api.call('GET', '/v1/devices/last-2')).body.sessions).toEqual([]),
    );
    const removal = await house.api.call('DELETE', '/v1/anchors/leaving');
    expect(removal.body).toMatchObject({
      devices: 1,
      receipt: { complete: true, sessions: [{ protocol: 'mqtt5' }] },
    });
    expect(await closed).toBe(0x87);
    expect(await knock(house, device)).toEqual({ code: 0x87, reason: 'issuer-not-trusted' });
    expect(await knock(house, maker.leaf('last-3', ca))).toMatchObject({ reason: 'untrusted-certificate' });
    expect((await house.api.call('GET', '/v1/anchors/leaving')).body).toMatchObject({ state: 'removed' });

    await register('leaving', maker, { enrollment: 'jit' });
    expect(await knock(house, device)).toMatchObject({ reason: null });
  });
});
