/** Keys that the registry makes: of the kind asked for, certified by a CSR of their own. */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { CertificationRequest } from '@peculiar/asn1-csr';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Attribute } from '@peculiar/asn1-x509';
import { describe, expect, test } from 'vitest';
import { makeCsr } from '#common/x509/csr.ts';
import { csrDer } from '#common/x509/pem.ts';
import { readCsr } from '../../../../registry/authority/csr.ts';
import { makeServerKey } from '../../../../registry/est/server-key.ts';

const csrFor = async (privateKey: KeyObject) => csrDer(await makeCsr(privateKey, 'pump-1'));

describe('a key that is made for a device', () => {
  test.each([
    ['P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['Ed25519', () => generateKeyPairSync('ed25519')],
    ['RSA-2048', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ])('is of the kind of the one in the CSR: %s', async (_kind, make) => {
    const { privateKey } = make();
    const made = await makeServerKey(await csrFor(privateKey));
    expect(made.privateKey.asymmetricKeyType).toBe(privateKey.asymmetricKeyType);
    expect(made.privateKey.asymmetricKeyDetails).toEqual(privateKey.asymmetricKeyDetails);
    expect(made.privateKey.equals(privateKey)).toBe(false);
    const csr = await readCsr(made.csr);
    expect(csr).toMatchObject({ commonNames: ['pump-1'], possessed: true });
    expect(csr.publicKey.equals(createPublicKey(made.privateKey))).toBe(true);
  });

  test('is another one each time', async () => {
    const csr = await csrFor(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
    const [a, b] = [await makeServerKey(csr), await makeServerKey(csr)];
    expect(a.privateKey.equals(b.privateKey)).toBe(false);
  });

  test.each([['csr-key-weak', () => generateKeyPairSync('rsa', { modulusLength: 1024 })]])(
    'is not made weak: %s',
    async (kind, make) => {
      await expect(makeServerKey(await csrFor(make().privateKey))).rejects.toMatchObject({ kind });
    },
  );

  test('is refused where it should be encrypted beyond TLS', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const request = AsnConvert.parse(await csrFor(privateKey), CertificationRequest);
    const wish = new Attribute({
      type: '1.2.840.113549.1.9.16.2.37',
      values: [new Uint8Array([4, 1, 1]).buffer],
    });
    request.certificationRequestInfo.attributes.push(wish);
    const der = Buffer.from(AsnConvert.serialize(request));
    await expect(makeServerKey(der)).rejects.toMatchObject({ kind: 'forbidden' });
  });

  test('is not made for what is no CSR', async () => {
    await expect(makeServerKey(Buffer.from('3003020100', 'hex'))).rejects.toMatchObject({
      kind: 'csr-malformed',
    });
  });
});
