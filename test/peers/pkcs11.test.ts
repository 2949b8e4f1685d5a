/** CA keys in a PKCS #11 token, with SoftHSM as the token and openssl as the judge. */
import { generateKeyPairSync, verify } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { certificatePem } from '#common/x509/pem.ts';
import {
  makeIssuingCertificate,
  makeRootCertificate,
  makeSerialNumber,
} from '../../registry/ca/ca-certificates.ts';
import { FileSigner } from '../../registry/ca/file-signer.ts';
import { IssuingCa } from '../../registry/ca/issuing-ca.ts';
import { makeKey } from '../../registry/ca/key-type.ts';
import { mostWaiting, Pkcs11Signer } from '../../registry/ca/pkcs11-signer.ts';
import type { CaSettings } from '../../registry/settings.ts';
import { eventually } from '../harness/eventually.ts';
import { command, House } from '../harness/house.ts';
import { sh, withPrograms } from '../harness/peer-program.ts';
import { SoftToken, tokenPrograms } from '../harness/soft-token.ts';

const dayMs = 86_400_000;
const settings = {
  keyType: 'P-256',
  rootLifetime: 100 * dayMs,
  issuingLifetime: 50 * dayMs,
} as CaSettings;
const device = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
  type: 'spki',
  format: 'der',
});
const faultOf = (promise: Promise<unknown>): Promise<Fault> =>
  promise.then(
    () => Promise.reject(new Error('It was done.')),
    (thrown: unknown) => Fault.of(thrown),
  );

withPrograms([...tokenPrograms, 'openssl'], 'a CA key in a PKCS #11 token', () => {
  let token: SoftToken;
  beforeAll(async () => {
    token = await SoftToken.make('fleet');
    // The module reads it from the environment of this process when it is initialised.
    process.env.SOFTHSM2_CONF = token.env.SOFTHSM2_CONF;
    token.makeKey('p256', 'EC:prime256v1');
    token.makeKey('p384', 'EC:secp384r1');
    token.makeKey('rsa', 'rsa:2048');
    token.makeKey('ed', 'EC:edwards25519');
  }, 60_000);
  afterAll(() => token[Symbol.asyncDispose]());

  const opened = async (label: string) => {
    const signer = await Pkcs11Signer.open(token.settings(label), systemClock);
    return { signer, [Symbol.asyncDispose]: () => signer.close() };
  };

  test.each([
    ['p256', 'ecdsa-with-SHA256'],
    ['p384', 'ecdsa-with-SHA384'],
    ['rsa', 'sha256WithRSAEncryption'],
    ['ed', 'Ed25519'],
  ])('a leaf that %s signs is good for openssl, strictly', async (label, name) => {
    await using held = await opened(label);
    const { signer } = held;
    expect(signer.algorithm.name).toBe(name);
    const rootSigner = new FileSigner(makeKey('P-256'));
    const nowMs = systemClock.now();
    const root = await makeRootCertificate(rootSigner, settings, nowMs);
    const issuing = await makeIssuingCertificate(
      signer.publicKey,
      { signer: rootSigner, certificate: root },
      settings,
      nowMs,
    );
    const ca = await IssuingCa.open({ root, issuing, signer }, () => 'http://ca.example/issuing.cer');
    const startMs = Math.floor(nowMs / 1000) * 1000;
    const plan = {
      serialNumber: makeSerialNumber(),
      commonName: 'pump-1',
      subject: [],
      uris: ['spiffe://t/fleet/f/device/pump-1'],
      dnsNames: [],
      addresses: [],
      purposes: ['clientAuth' as const],
      notBeforeMs: startMs,
      notAfterMs: startMs + dayMs,
    };
    await writeFile(join(token.dir, 'root.crt'), root);
    await writeFile(join(token.dir, 'issuing.crt'), issuing);
    await writeFile(join(token.dir, 'leaf.crt'), certificatePem(await ca.sign(plan, device)));
    const said = sh(
      'openssl verify -x509_strict -purpose sslclient -CAfile root.crt -untrusted issuing.crt leaf.crt',
      token.dir,
    );
    expect(said).toBe('leaf.crt: OK\n');
  });

  test('two keys of one token sign at once, each its own', async () => {
    await using first = await opened('p256');
    await using second = await opened('p384');
    const checks = Array.from({ length: 100 }, async (_, index) => {
      const { signer } = index % 2 === 0 ? first : second;
      const data = Buffer.from(`message ${index}`);
      return verify(signer.algorithm.digest, data, signer.publicKey, await signer.sign(data));
    });
    expect(await Promise.all(checks)).toEqual(checks.map(() => true));
  });

  test('more signatures than can wait are refused, and those that wait are made', async () => {
    await using held = await opened('p256');
    const all = await Promise.allSettled(
      Array.from({ length: mostWaiting + 1 }, () => held.signer.sign(Buffer.from('x'))),
    );
    const refused = all.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(1);
    expect(refused[0]).toMatchObject({ reason: { kind: 'unavailable' } });
  });

  test('a token that went away says so, and one that came back is opened again', async () => {
    await using held = await opened('p256');
    const data = Buffer.from('x');
    await held.signer.sign(data);
    await token.remove();
    const fault = await faultOf(held.signer.sign(data));
    await token.replace();
    expect(fault).toMatchObject({ kind: 'unavailable', retryAfterMs: 1000 });
    expect(fault.message).toContain('"fleet"');
    // For a second it is let alone: nothing is asked of a token that just failed.
    expect(await faultOf(held.signer.sign(data))).toMatchObject({ kind: 'unavailable' });
    await systemClock.sleep(fault.retryAfterMs!);
    const signature = await held.signer.sign(data);
    expect(verify('sha256', data, held.signer.publicKey, signature)).toBe(true);
  });

  test('a wrong PIN is tried once, so that the token does not lock itself; a corrected file is read again', async () => {
    await token.setPin('4321');
    const fault = await faultOf(Pkcs11Signer.open(token.settings('p256'), systemClock));
    await token.setPin('1234');
    expect(fault.kind).toBe('unavailable');
    expect(fault.message).toMatch(/refuses the PIN in .*pin\. Correct that file/);
    await using held = await opened('p256');
    expect(await held.signer.sign(Buffer.from('x'))).toBeInstanceOf(Buffer);
  });

  test.each([
    ['no such token', { tokenLabel: 'absent' }, /No token is labelled "absent"; there are: .*"fleet"/],
    ['no such key', { keyLabel: 'absent' }, /no private key labelled "absent".*pkcs11-tool --keypairgen/],
    ['no such module', { module: '/absent.so' }, /absent\.so cannot be loaded .*ca\.signer\.module/],
    ['a library that is no module', { module: 'libc.so.6' }, /cannot be loaded as a PKCS #11 module/],
    ['no PIN file', { pinFile: '/absent' }, /\/absent cannot be read; ca\.signer\.pinFile/],
  ])('%s is a fault that says what to do', async (_name, change, sentence) => {
    const fault = await faultOf(Pkcs11Signer.open({ ...token.settings('p256'), ...change }, systemClock));
    expect(fault.kind).toBe('unavailable');
    expect(fault.message).toMatch(sentence);
  });

  test('two keys under one label are refused: nobody would know which one signs', async () => {
    token.makeKey('twin', 'EC:prime256v1');
    token.makeKey('twin', 'EC:prime256v1');
    const fault = await faultOf(Pkcs11Signer.open(token.settings('twin'), systemClock));
    expect(fault.message).toMatch(/more than one private key labelled "twin"/);
  });

  test('a house with its issuing key on a token enrolls a device, and keeps no issuing key on disk', async () => {
    const { module, tokenLabel, pinFile } = token.settings('p384');
    const config = `ca: { signer: { type: pkcs11, module: "${module}", tokenLabel: ${tokenLabel}, keyLabel: p384, pinFile: "${pinFile}" } }\n`;
    await using house = await House.start({ config, env: token.env });
    const { status } = await enrollOne(house);
    expect(status).toBe('pump-1.crt: OK\n');
    expect(sh('ls data/ca', house.dir).split('\n')).not.toContain('issuing.key');
  });

  test('a second issuing key of the same token takes over, and both go on signing after a restart', async () => {
    const { module, pinFile } = token.settings('p384');
    const config = `ca: { signer: { type: pkcs11, module: ${module}, tokenLabel: fleet, keyLabel: p384, pinFile: ${pinFile} } }`;
    const dir = await mkdtemp(join(tmpdir(), 'two-keys-'));
    try {
      const house = await House.start({ config, env: token.env, dir });
      const add = (body: object) => house.api.call('POST', '/v1/issuers', body);
      expect((await add({})).body.code).toBe('malformed');
      expect((await add({ signer: { type: 'pkcs11', keyLabel: 'p384' } })).body.code).toBe('conflict');
      expect((await add({ signer: { type: 'pkcs11', keyLabel: 'none' } })).status).toBe(503);
      const added = await add({ signer: { type: 'pkcs11', keyLabel: 'p256' } });
      expect(added).toMatchObject({ status: 201, body: { id: 'issuing-2', state: 'active' } });
      await house.api.call('POST', '/v1/issuers/issuing-2/prefer');
      await house[Symbol.asyncDispose]();
      await using again = await House.start({ config, env: token.env, dir });
      const { certificate } = await again.api.enroll('plant', 'pump-2');
      const [leaf, issuing] = certificate.split(/(?<=END CERTIFICATE-----\n)/);
      expect(issuing).toBe(added.body.certificate);
      await writeFile(join(dir, 'leaf.crt'), leaf!);
      expect(sh(`openssl verify -CAfile ${again.doors.ca} leaf.crt`, dir)).toContain('OK');
      for (const id of ['issuing', 'issuing-2']) {
        const list = `curl -sSf ${again.doors.pki}/crl/${id}.crl | openssl crl -inform DER -noout -CAfile ${again.doors.ca} 2>&1`;
        await eventually(() => expect(sh(list, dir)).toContain('verify OK'));
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

async function enrollOne(house: House): Promise<{ status: string }> {
  const fleetgate = `${process.execPath} ${command}`;
  sh(
    `${fleetgate} fleets create plant --data data --json
     token=$(${fleetgate} tokens create plant --device pump-1 --data data --json | sed -n 's/.*"token": "\\(.*\\)".*/\\1/p')
     ${fleetgate} enroll --data data --token "$token" --device pump-1 --out out --json`,
    house.dir,
  );
  return {
    status: sh(
      'cd out; openssl verify -x509_strict -purpose sslclient -CAfile ca.crt -untrusted pump-1.crt pump-1.crt',
      house.dir,
    ),
  };
}
