/** Certificates as fields: what stands in them is what was meant, read by another parser; what contradicts is refused. */
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { Fault } from '#common/fault.ts';
import { type CertificateFields, makeCertificate } from '../../../../registry/ca/certificate.ts';
import { FileSigner } from '../../../../registry/ca/file-signer.ts';
import { encodeGeneralName, encodeSubtreeBase } from '../../../../registry/ca/general-name.ts';
import { issuerIdentityOf } from '../../../../registry/ca/issuer-identity.ts';
import { makeKey } from '../../../../registry/ca/key-type.ts';
import { encodeName } from '../../../../registry/ca/name.ts';
import { signatureAlgorithmOf } from '../../../../registry/ca/signer.ts';

const signer = new FileSigner(makeKey('P-256'));
const publicKey = signer.publicKey.export({ type: 'spki', format: 'der' });
const fields: CertificateFields = {
  serialNumber: '40ff',
  issuerName: encodeName([{ type: 'CN', value: 'Issuer' }]),
  subject: [
    { type: 'C', value: 'DE' },
    { type: 'O', value: 'Grüße GmbH' },
    { type: 'CN', value: 'pump-1' },
  ],
  notBeforeMs: Date.parse('2026-01-01T00:00:00Z'),
  notAfterMs: Date.parse('2050-01-01T00:00:00Z'),
  publicKey,
  isCa: false,
  keyUsage: ['digitalSignature'],
  authorityKeyId: Buffer.alloc(20, 7),
};
const make = async (change: Partial<CertificateFields>) =>
  new X509Certificate(await makeCertificate({ ...fields, ...change }, signer));
const kindOf = (promise: Promise<unknown>): Promise<string | null> =>
  promise.then(
    () => null,
    (thrown: unknown) => Fault.of(thrown).kind,
  );

test('Node reads every field as it was meant', async () => {
  const read = await make({
    extendedKeyUsage: ['clientAuth', '1.3.6.1.5.5.7.3.9'],
    names: [
      { type: 'uri', value: 'spiffe://t/fleet/f/device/pump-1' },
      { type: 'dns', value: 'pump-1.example' },
      { type: 'ip', value: '192.0.2.1' },
      { type: 'ip', value: '2001:db8::1' },
      { type: 'email', value: 'a@example.org' },
    ],
    authorityInfo: { ocsp: ['http://x/ocsp'], issuers: ['http://x/issuing.cer'] },
    crlUrls: ['http://x/crl'],
  });
  expect(read.serialNumber).toBe('40FF');
  expect(read.subject).toBe('C=DE\nO=Grüße GmbH\nCN=pump-1');
  expect(read.issuer).toBe('CN=Issuer');
  expect(read.validFrom).toBe('Jan  1 00:00:00 2026 GMT');
  expect(read.validTo).toBe('Jan  1 00:00:00 2050 GMT');
  expect(read.subjectAltName).toBe(
    'URI:spiffe://t/fleet/f/device/pump-1, DNS:pump-1.example, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, email:a@example.org',
  );
  expect(read.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.9']);
  expect(read.infoAccess).toBe('OCSP - URI:http://x/ocsp\nCA Issuers - URI:http://x/issuing.cer');
  expect(read.ca).toBe(false);
  expect(read.verify(signer.publicKey)).toBe(true);
});

test('the key identifier of an issuer is what its own certificate says, whatever method it was made by', async () => {
  const ours = await make({});
  const bits = publicKey.subarray(-65);
  expect(issuerIdentityOf(ours.raw).keyId).toEqual(createHash('sha1').update(bits).digest());
  const other = await make({ subjectKeyId: Buffer.alloc(32, 9) });
  expect(issuerIdentityOf(other.raw)).toEqual({
    publicKeyBits: bits,
    name: encodeName(fields.subject),
    keyId: Buffer.alloc(32, 9),
  });
});

test.each<[string, Partial<CertificateFields>]>([
  ['the serial number 0', { serialNumber: '00' }],
  ['a serial number of 21 octets', { serialNumber: '40'.repeat(21) }],
  ['a serial number whose sign needs a 21st octet', { serialNumber: '80'.repeat(20) }],
  ['a serial number that is none', { serialNumber: 'xyz' }],
  ['a CA that may not sign', { isCa: true }],
  ['a leaf that may sign', { keyUsage: ['keyCertSign'] }],
  ['a leaf with a path length', { pathLength: 0 }],
  ['a leaf with name constraints', { nameConstraints: { permitted: [], excluded: [] } }],
  ['a validity that ends first', { notAfterMs: 0 }],
  ['an empty attribute', { subject: [{ type: 'CN', value: '' }] }],
  ['an unknown attribute', { subject: [{ type: 'XX', value: 'x' }] }],
  ['an attribute outside of its alphabet', { subject: [{ type: 'serialNumber', value: 'a_b' }] }],
  ['an unknown purpose', { extendedKeyUsage: ['anything'] }],
  ['a host name that is not ASCII', { names: [{ type: 'dns', value: 'grüße.example' }] }],
  ['a URI with a NUL', { names: [{ type: 'uri', value: 'spiffe://t/\0' }] }],
  ['an address that is none', { names: [{ type: 'ip', value: '1.2.3' }] }],
  ['an address with a zone', { names: [{ type: 'ip', value: 'fe80::1%eth0' }] }],
  ['a URL that is none', { crlUrls: ['crl'] }],
])('%s makes no certificate', async (_name, change) => expect(await kindOf(make(change))).toBe('malformed'));

test('a serial number of 20 octets is the longest', async () => {
  expect((await make({ serialNumber: `7f${'00'.repeat(19)}` })).serialNumber).toHaveLength(40);
});

test.each([
  ['::', '0'.repeat(32)],
  ['::1', '0'.repeat(31) + 1],
  ['2001:db8::', `20010db8${'0'.repeat(24)}`],
  ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
  ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
  ['192.0.2.1', 'c0000201'],
])('the address %s in octets', (value, hex) =>
  expect(encodeGeneralName({ type: 'ip', value }).subarray(2).toString('hex')).toBe(hex),
);

test.each([
  ['10.0.0.0/8', '0a000000ff000000'],
  ['192.0.2.128/25', 'c0000280ffffff80'],
  ['0.0.0.0/0', '0000000000000000'],
  ['2001:db8::/33', `20010db8${'0'.repeat(24)}ffffffff80${'0'.repeat(22)}`],
])('the subtree %s in octets', (value, hex) =>
  expect(encodeSubtreeBase({ type: 'ip', value }).subarray(2).toString('hex')).toBe(hex),
);

test('a subtree of addresses needs the length of its prefix', () => {
  for (const value of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '/8'])
    expect(() => encodeSubtreeBase({ type: 'ip', value })).toThrow(Fault);
});

test('keys that no CA signs with are refused by name', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
  expect(() => signatureAlgorithmOf(rsa)).toThrow(/not with rsa of 1024 bits/);
  const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' }).publicKey;
  expect(() => signatureAlgorithmOf(p521)).toThrow(/not with secp521r1/);
});

test('a key that was closed signs no more', async () => {
  const closed = new FileSigner(makeKey('P-256'));
  await closed.close();
  expect(await kindOf(closed.sign(Buffer.from('x')))).toBe('unavailable');
});
