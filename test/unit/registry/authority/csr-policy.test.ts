/** Keys that no tool will make into a CSR, judged as facts; and DER that is not exactly one request. */
import {
  checkPrimeSync,
  createPublicKey,
  ECDH,
  generateKeyPairSync,
  generatePrimeSync,
  type KeyObject,
} from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '#common/fault.ts';
import { makeCsr } from '#common/x509/csr.ts';
import { csrDer } from '#common/x509/pem.ts';
import { type Csr, readCsr } from '../../../../registry/authority/csr.ts';
import { type CsrTerms, judgeCsr } from '../../../../registry/authority/csr-policy.ts';
import { defaultProfile, type KeyType } from '../../../../registry/authority/profile.ts';

const uri = 'spiffe://t/fleet/f/device/d';
const terms: CsrTerms = {
  keys: defaultProfile(86_400_000, 0).keys,
  purposes: ['clientAuth'],
  subject: [
    { type: 'CN', value: 'd' },
    { type: 'O', value: 'Acme' },
  ],
  names: [`uri:${uri}`, 'dns:d.example'],
};
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const good = await readCsr(csrDer(await makeCsr(privateKey, 'd')));
const judge = (change: Partial<Csr>, by: Partial<CsrTerms> = {}) =>
  judgeCsr({ ...good, ...change }, { ...terms, ...by });
const kindOf = (run: () => void): string | null => {
  try {
    run();
    return null;
  } catch (thrown) {
    return (thrown as Fault).kind;
  }
};

const soundRsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
const rsa = (bits: number, exponent: string): KeyObject => {
  const n =
    bits === 2048
      ? Buffer.from(soundRsa.export({ format: 'jwk' }).n ?? '', 'base64url')
      : Buffer.alloc(bits / 8, 0xc5);
  return createPublicKey({ key: { kty: 'RSA', n: n.toString('base64url'), e: exponent }, format: 'jwk' });
};

test('the good one is good', () => expect(kindOf(() => judge({}))).toBeNull());

const keyOf = (n: bigint): KeyObject => {
  const hex = n.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return createPublicKey({ key: { kty: 'RSA', n: bytes.toString('base64url'), e: 'AQAB' }, format: 'jwk' });
};
const prime = generatePrimeSync(1024, { bigint: true });
const nextPrime = (from: bigint): bigint => {
  let n = from + 2n;
  while (!checkPrimeSync(n)) n += 2n;
  return n;
};

test.each([
  ['RSA with neighbouring primes', keyOf(prime * nextPrime(prime)), 'csr-key-weak'],
  ['RSA with primes 2^490 apart', keyOf(prime * nextPrime(prime + 2n ** 490n)), 'csr-key-weak'],
  ['RSA of a square', keyOf(prime * prime), 'csr-key-weak'],
  ['RSA with a factor of 3', keyOf(prime * 3n * 2n ** 1030n + 3n), 'csr-key-weak'],
  ['an even RSA modulus', keyOf(2n ** 2047n), 'csr-key-weak'],
  ['an RSA exponent of 40 bits', rsa(2048, 'gAAAAAE'), 'csr-key-weak'],
  ['RSA exponent 1', rsa(2048, 'AQ'), 'csr-key-weak'],
  ['an even RSA exponent', rsa(2048, 'BA'), 'csr-key-weak'],
  ['RSA of 1024 bits', rsa(1024, 'AQAB'), 'csr-key-weak'],
  ['RSA of 16384 bits', rsa(16_384, 'AQAB'), 'csr-key-weak'],
  ['RSA of 2048 bits', rsa(2048, 'AQAB'), null],
  ['Ed25519', generateKeyPairSync('ed25519').publicKey, null],
  ['P-521', generateKeyPairSync('ec', { namedCurve: 'P-521' }).publicKey, 'csr-key-type'],
  ['ML-DSA-87', generateKeyPairSync('ml-dsa-87').publicKey, 'csr-key-type'],
  ['Ed448', generateKeyPairSync('ed448').publicKey, 'csr-key-type'],
  ['X25519', generateKeyPairSync('x25519').publicKey, 'csr-key-type'],
] as const)('%s', (_what, publicKey, kind) => {
  const publicKeyDer = publicKey.export({ type: 'spki', format: 'der' });
  expect(kindOf(() => judge({ publicKey, publicKeyDer }))).toBe(kind);
});

const takes: [KeyType, () => KeyObject][] = [
  ['P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey],
  ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey],
  ['Ed25519', () => generateKeyPairSync('ed25519').publicKey],
  ['RSA-3072', () => generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey],
  ['ML-DSA-44', () => generateKeyPairSync('ml-dsa-44').publicKey],
  ['ML-DSA-65', () => generateKeyPairSync('ml-dsa-65').publicKey],
];

test.each(takes)('a profile that takes %s takes it, and says so to all others', (type, make) => {
  const publicKey = make();
  const facts = { publicKey, publicKeyDer: publicKey.export({ type: 'spki', format: 'der' }) };
  expect(kindOf(() => judge(facts, { keys: [type] }))).toBeNull();
  for (const [other] of takes.filter(([each]) => each !== type)) {
    const named =
      other === 'RSA-3072' ? /RSA of at least 3072 bits here/ : new RegExp(`Keys are ${other} here`);
    expect(() => judge(facts, { keys: [other] })).toThrow(named);
    expect(kindOf(() => judge(facts, { keys: [other] }))).toBe('csr-key-type');
  }
});

test('RSA is taken from the smallest size that the profile names', () => {
  const facts = { publicKey: soundRsa, publicKeyDer: soundRsa.export({ type: 'spki', format: 'der' }) };
  expect(kindOf(() => judge(facts, { keys: ['RSA-4096', 'RSA-2048'] }))).toBeNull();
  expect(() => judge(facts, { keys: ['RSA-3072', 'RSA-4096'] })).toThrow(/3072 to 8192 bits here/);
});

test.each([
  ['nothing', [], [], null],
  ['the CN alone', ['CN=d'], [], null],
  ['the whole subject, in any order', ['O=Acme', 'CN=d'], [], null],
  ['the names', [], [`uri:${uri}`, 'dns:d.example'], null],
  ['another organisation', ['CN=d', 'O=Other'], [], 'csr-subject'],
  ['an attribute twice', ['CN=d', 'O=Acme', 'O=Acme'], [], 'csr-subject'],
  ['an attribute that is not given', ['CN=d', 'L=Turin'], [], 'csr-subject'],
  ['two CNs', ['CN=d', 'CN=d'], [], 'csr-subject'],
  ['another name', ['CN=d'], [`uri:${uri}`, 'dns:e.example'], 'csr-san'],
  ['a name of another type', ['CN=d'], ['email:d.example'], 'csr-san'],
] as const)('a CSR that asks for %s', (_what, subject, names, kind) => {
  const asked = subject.map((text) => ({ type: text.split('=')[0]!, value: text.split('=')[1]! }));
  expect(kindOf(() => judge({ subject: asked, names }))).toBe(kind);
});

test('a CSR may ask for the purposes of its profile, and no other', () => {
  const serverAuth = { purposes: ['1.3.6.1.5.5.7.3.1'] };
  expect(kindOf(() => judge(serverAuth))).toBe('csr-usage');
  expect(kindOf(() => judge(serverAuth, { purposes: ['clientAuth', 'serverAuth'] }))).toBeNull();
});

test('a request that proves nothing is refused whatever else it says', () =>
  expect(kindOf(() => judge({ possessed: false }))).toBe('csr-signature'));

test('DER with something after it, or cut anywhere, is malformed', async () => {
  const der = csrDer(await makeCsr(privateKey, 'd'));
  await expect(readCsr(Buffer.concat([der, Buffer.from([0])]))).rejects.toMatchObject({
    kind: 'csr-malformed',
  });
  await expect(readCsr(Buffer.concat([der, der]))).rejects.toMatchObject({ kind: 'csr-malformed' });
  for (let cut = 0; cut < der.length; cut += 7)
    await expect(readCsr(der.subarray(0, cut))).rejects.toMatchObject({ kind: 'csr-malformed' });
});

test('a CSR with any byte changed is refused with a Fault, or proves nothing, or is still the same key and name', async () => {
  const der = csrDer(await makeCsr(privateKey, 'd'));
  await fc.assert(
    fc.asyncProperty(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const broken = Buffer.from(der);
      broken[at]! ^= flip;
      try {
        const csr = await readCsr(broken);
        judgeCsr(csr, terms);
        expect(csr.keyHash).toBe(good.keyHash);
        expect(csr.commonNames).toEqual(['d']);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Fault);
        expect((thrown as Fault).kind).not.toBe('internal');
      }
    }),
    { numRuns: 300 },
  );
});

test('a compressed point is refused: the gateways read none', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const whole = publicKey.export({ type: 'spki', format: 'der' });
  const point = ECDH.convertKey(whole.subarray(-65), 'prime256v1', undefined, undefined, 'compressed');
  const publicKeyDer = Buffer.concat([whole.subarray(0, -66), Buffer.from([0]), point as Buffer]);
  publicKeyDer[1]! -= 32;
  publicKeyDer[publicKeyDer.length - 35]! -= 32;
  expect(createPublicKey({ key: publicKeyDer, format: 'der', type: 'spki' }).equals(publicKey)).toBe(true);
  expect(() => judge({ publicKey, publicKeyDer })).toThrow(/compressed/);
});
