/** Keys that no tool will make into a CSR, judged as facts; and DER that is not exactly one request. */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import { makeCsr } from '#common/x509/csr.ts';
import { csrDer } from '#common/x509/pem.ts';
import { type Csr, readCsr } from '../../../../registry/authority/csr.ts';
import { judgeCsr } from '../../../../registry/authority/csr-policy.ts';

const device = 'd' as DeviceId;
const uri = 'spiffe://t/fleet/f/device/d';
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const good = await readCsr(csrDer(await makeCsr(privateKey, 'd')));
const judge = (change: Partial<Csr>) => judgeCsr({ ...good, ...change }, device, uri);
const kindOf = (run: () => void): string | null => {
  try {
    run();
    return null;
  } catch (thrown) {
    return (thrown as Fault).kind;
  }
};

const rsa = (bits: number, exponent: string): KeyObject => {
  const n = Buffer.alloc(bits / 8, 0xc5);
  return createPublicKey({ key: { kty: 'RSA', n: n.toString('base64url'), e: exponent }, format: 'jwk' });
};

test('the good one is good', () => expect(kindOf(() => judge({}))).toBeNull());

test.each([
  ['RSA exponent 1', rsa(2048, 'AQ'), 'csr-key-weak'],
  ['an even RSA exponent', rsa(2048, 'BA'), 'csr-key-weak'],
  ['RSA of 1024 bits', rsa(1024, 'AQAB'), 'csr-key-weak'],
  ['RSA of 16384 bits', rsa(16_384, 'AQAB'), 'csr-key-weak'],
  ['RSA of 2048 bits', rsa(2048, 'AQAB'), null],
  ['Ed25519', generateKeyPairSync('ed25519').publicKey, null],
  ['Ed448', generateKeyPairSync('ed448').publicKey, 'csr-key-type'],
  ['X25519', generateKeyPairSync('x25519').publicKey, 'csr-key-type'],
] as const)('%s', (_what, publicKey, kind) => {
  const publicKeyDer = publicKey.export({ type: 'spki', format: 'der' });
  expect(kindOf(() => judge({ publicKey, publicKeyDer }))).toBe(kind);
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
        judgeCsr(csr, device, uri);
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
