/** Profiles at work: what a fleet's certificates are like is what its profile says, for every kind of key. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CertificationRequest, CertificationRequestInfo } from '@peculiar/asn1-csr';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  Name,
  RelativeDistinguishedName,
  SubjectPublicKeyInfo,
} from '@peculiar/asn1-x509';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { command, House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { sh, withPrograms } from '../harness/peer-program.ts';

let house: House;
const call: House['api']['call'] = (...args) => house.api.call(...args);
beforeAll(async () => {
  house = await House.start();
});
afterAll(() => house[Symbol.asyncDispose]());

const profile = {
  validity: '30d',
  subject: [
    { attribute: 'O', value: 'Acme, Inc. + Söhne' },
    { attribute: 'OU', value: '${device.fleet}' },
    { attribute: 'L', value: '${device.attributes.site}' },
    { attribute: 'serialNumber', value: '${device.attributes.serial}' },
    { attribute: 'C', value: 'IT' },
  ],
  names: [
    { type: 'dns', value: '${device.id}.plant.example' },
    { type: 'uri', value: 'urn:acme:${device.id}' },
  ],
  purposes: ['clientAuth', 'serverAuth'],
};

/** A fleet with a profile of its own. */
async function fleetWith(id: string, document: object): Promise<void> {
  expect((await call('PUT', `/v1/profiles/${id}`, document)).status).toBe(200);
  expect((await call('POST', '/v1/fleets', { id, profile: id })).status).toBe(201);
}

async function enroll(fleet: string, deviceId: string, csr: string, attributes: object = {}) {
  const { body } = await call('POST', `/v1/fleets/${fleet}/tokens`, { deviceId });
  const authorization = `Bearer ${body.token}`;
  return call('POST', '/v1/enroll', { deviceId, csr, attributes }, { authorization });
}

const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

const mlDsaIds: Record<string, string> = {
  'ml-dsa-44': '2.16.840.1.101.3.4.3.17',
  'ml-dsa-65': '2.16.840.1.101.3.4.3.18',
};

/** WebCrypto's library makes no CSR for such keys; OpenSSL signs what is written here by hand. */
function mlDsaCsr(key: KeyObject, publicKey: KeyObject, commonName: string): string {
  const cn = new AttributeTypeAndValue({
    type: '2.5.4.3',
    value: new AttributeValue({ utf8String: commonName }),
  });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const info = new CertificationRequestInfo({
    subject: new Name([new RelativeDistinguishedName([cn])]),
    subjectPKInfo: AsnConvert.parse(spki, SubjectPublicKeyInfo),
  });
  const signed = Buffer.from(AsnConvert.serialize(info));
  const signature = sign(null, signed, key);
  const request = new CertificationRequest({
    certificationRequestInfo: info,
    signatureAlgorithm: new AlgorithmIdentifier({ algorithm: mlDsaIds[key.asymmetricKeyType ?? ''] }),
    signature: new Uint8Array(signature).buffer,
  });
  const base64 = Buffer.from(AsnConvert.serialize(request)).toString('base64');
  return `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`;
}

test('subject, names and purposes are as the profile says, and the device connects', async () => {
  await fleetWith('templates', profile);
  const key = p256();
  const attributes = { site: 'Turin', serial: 'A-12' };
  const { status, body } = await enroll('templates', 'tpl-1', await makeCsr(key, 'tpl-1'), attributes);
  expect(status).toBe(201);
  const leaf = new X509Certificate(body.certificate);
  expect({ ...leaf.toLegacyObject().subject }).toEqual({
    CN: 'tpl-1',
    O: 'Acme, Inc. + Söhne',
    OU: 'templates',
    L: 'Turin',
    serialNumber: 'A-12',
    C: 'IT',
  });
  expect(leaf.subjectAltName).toBe(
    'URI:spiffe://fleetgate.local/fleet/templates/device/tpl-1, URI:urn:acme:tpl-1, DNS:tpl-1.plant.example',
  );
  expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1']);
  const identity = {
    id: 'tpl-1',
    fleet: 'templates',
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: body.certificate + body.chain,
    ca: body.ca,
    fingerprint: body.fingerprint,
    privateKey: key,
  };
  const { client } = await connectDevice(identity, house.port('mqtts'));
  await client.endAsync(true);
});

test('a device without an attribute that its profile writes is refused, and spends nothing', async () => {
  const { body: made } = await call('POST', '/v1/fleets/templates/tokens', { deviceId: 'tpl-2' });
  const csr = await makeCsr(p256(), 'tpl-2');
  const headers = { authorization: `Bearer ${made.token}` };
  const refused = await call('POST', '/v1/enroll', { deviceId: 'tpl-2', csr }, headers);
  expect(refused).toMatchObject({ status: 422, body: { code: 'csr-subject' } });
  expect(refused.body.detail).toMatch(/device\.attributes\.site/);
  const attributes = { site: 'Turin', serial: 'A-13' };
  const again = await call('POST', '/v1/enroll', { deviceId: 'tpl-2', csr, attributes }, headers);
  expect(again.status).toBe(201);
});

describe('a fleet takes the keys that its profile names', () => {
  beforeAll(() => fleetWith('quantum', { keys: ['ML-DSA-44', 'ML-DSA-65'] }));

  test.each(['ml-dsa-44', 'ml-dsa-65'] as const)('%s', async (type) => {
    const { privateKey, publicKey } = generateKeyPairSync(type as 'ml-dsa-44');
    const csr = mlDsaCsr(privateKey, publicKey, type);
    const { status, body } = await enroll('quantum', type, csr);
    expect(status).toBe(201);
    expect(new X509Certificate(body.certificate).publicKey.equals(publicKey)).toBe(true);
  });

  test('an ML-DSA CSR signed with another key proves nothing', async () => {
    const [one, two] = [generateKeyPairSync('ml-dsa-44'), generateKeyPairSync('ml-dsa-44')];
    const { body } = await enroll('quantum', 'forged', mlDsaCsr(one.privateKey, two.publicKey, 'forged'));
    expect(body.code).toBe('csr-signature');
  });

  test('and no other, saying which', async () => {
    const { body } = await enroll('quantum', 'classic', await makeCsr(p256(), 'classic'));
    expect(body).toMatchObject({ code: 'csr-key-type', status: 422 });
    expect(body.detail).toMatch(/ML-DSA-44 or ML-DSA-65/);
  });
});

withPrograms(['openssl'], 'CSRs of openssl', () => {
  const request = (key: string, subject: string, more = '') => {
    sh(
      `openssl req -new ${key} -nodes -keyout k.pem -subj '${subject}' ${more} -out k.csr 2>/dev/null`,
      house.dir,
    );
    return sh('cat k.csr', house.dir);
  };
  const ec = '-newkey ec -pkeyopt ec_paramgen_curve:P-256';

  test.each([
    ['an RSA key with a PSS signature', '-newkey rsa:2048 -sigopt rsa_padding_mode:pss', 201],
    ['an RSA key signed with SHA-512', '-newkey rsa:2048 -sha512', 201],
    ['an RSA key signed with SHA-1', '-newkey rsa:2048 -sha1', 'csr-signature'],
    ['P-384 signed with SHA-384', '-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384', 201],
    ['Ed25519', '-newkey ed25519', 201],
    ['an RSA-PSS key', '-newkey rsa-pss -pkeyopt rsa_keygen_bits:2048', 'csr-key-type'],
  ] as const)('%s', async (what, key, expected) => {
    await call('POST', '/v1/fleets', { id: 'plain' });
    const id = what.replaceAll(/[^A-Za-z0-9]/g, '');
    const { status, body } = await enroll('plain', id, request(key, `/CN=${id}`));
    expect(typeof expected === 'number' ? status : body.code).toBe(expected);
  });

  test.each([
    ['all that the profile gives', '/C=IT/O=Acme/CN=ask-1', 'subjectAltName=DNS:ask-1.example', 201],
    ['another organisation', '/O=Other/CN=ask-2', '', 'csr-subject'],
    ['another host name', '/CN=ask-3', 'subjectAltName=DNS:other.example', 'csr-san'],
    ['an address', '/CN=ask-4', 'subjectAltName=IP:10.0.0.1', 'csr-san'],
    ['an attribute that is not in the profile', '/L=Turin/CN=ask-5', '', 'csr-subject'],
    ['emailProtection', '/CN=ask-6', 'extendedKeyUsage=emailProtection', 'csr-usage'],
  ] as const)('asking for %s', async (_what, subject, extension, expected) => {
    if ((await call('GET', '/v1/fleets/asked')).status === 404) {
      await fleetWith('asked', {
        subject: [
          { attribute: 'O', value: 'Acme' },
          { attribute: 'C', value: 'IT' },
        ],
        names: [{ type: 'dns', value: '${device.id}.example' }],
      });
    }
    const id = /CN=(.*)$/.exec(subject)?.[1] ?? '';
    const csr = request(ec, subject, extension && `-addext ${extension}`);
    const { status, body } = await enroll('asked', id, csr);
    expect(typeof expected === 'number' ? status : body.code).toBe(expected);
  });
});

test('profiles are listed, shown, checked when written, and what was got can be put', async () => {
  const { body } = await call('GET', '/v1/profiles/device');
  expect(body).toMatchObject({ name: 'device', validity: '31536000s', maxCertificates: 8 });
  expect((await call('PUT', '/v1/profiles/device', body)).body).toEqual(body);
  expect((await call('PUT', '/v1/profiles/other', body)).status).toBe(400);
  const names = (await call('GET', '/v1/profiles')).body.items.map(({ name }: { name: string }) => name);
  expect(names).toContain('device');
  for (const bad of [
    { subject: [{ attribute: 'O', value: '${device.name}' }] },
    { subject: [{ attribute: 'CN', value: 'x' }] },
    { keys: [] },
    { keys: ['RSA-1024'] },
    { purposes: ['serverAuth'] },
    { unknown: 1 },
  ])
    expect((await call('PUT', '/v1/profiles/bad', bad)).body.code).toBe('malformed');
  expect((await call('GET', '/v1/profiles/bad')).status).toBe(404);
  expect((await call('POST', '/v1/fleets', { id: 'lost', profile: 'bad' })).status).toBe(404);
});

test('the command shows, writes and gives profiles', async () => {
  const run = (...args: string[]) =>
    execFileSync(process.execPath, [command, ...args, '--data', join(house.dir, 'data'), '--json'], {
      encoding: 'utf8',
    });
  writeFileSync(join(house.dir, 'gauge.json'), JSON.stringify({ ...profile, validity: '7d' }));
  expect(JSON.parse(run('profiles', 'set', 'gauge', join(house.dir, 'gauge.json')))).toMatchObject({
    name: 'gauge',
    validity: '7d',
  });
  expect(JSON.parse(run('profiles', 'list')).map(({ name }: { name: string }) => name)).toContain('gauge');
  expect(JSON.parse(run('profiles', 'show', 'gauge')).names).toEqual(profile.names);
  run('fleets', 'create', 'gauges', '--profile', 'gauge', '--approval', 'manual', '--grace', '60d');
  expect(JSON.parse(run('fleets', 'set', 'gauges', '--skew', '2h'))).toMatchObject({
    profile: 'gauge',
    approval: 'manual',
    grace: '5184000s',
    skew: '7200s',
  });
});
