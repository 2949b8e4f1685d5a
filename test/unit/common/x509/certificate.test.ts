/** What is read from a certificate is what two other readers read: @peculiar/x509 and OpenSSL, for each key type. */
import 'reflect-metadata';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import * as asn1 from '@peculiar/asn1-x509';
import { expect, test } from 'vitest';
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import { valuesOf } from '#common/x509/name.ts';
import { attributeOids } from '#common/x509/object-identifier.ts';
import { context, integer, oid, sequence, text, tlv } from '../../../harness/der-writer.ts';
import {
  altNames,
  attribute,
  basicConstraints,
  cn,
  directory,
  dns,
  ecKeys,
  email,
  extension,
  extKeyUsage,
  forgeCa,
  forgeLeaf,
  ip,
  type Keys,
  keyUsage,
  nameConstraints,
  nameOf,
  otherName,
  type Plan,
  rsaKeys,
  serverAuth,
  signings,
  uri,
} from '../../../harness/forged-certificate.ts';

const clientAuth = '1.3.6.1.5.5.7.3.2';

const keyTypes: readonly (readonly [string, () => Keys, object])[] = [
  ['P-256', () => ecKeys('P-256'), { type: 'ec', curve: 'P-256' }],
  ['P-384', () => ecKeys('P-384'), { type: 'ec', curve: 'P-384' }],
  ['P-521', () => ecKeys('P-521'), { type: 'ec', curve: 'P-521' }],
  ['Ed25519', () => generateKeyPairSync('ed25519'), { type: 'ed25519' }],
  ['RSA 2048', () => rsaKeys(2048), { type: 'rsa', bits: 2048, exponent: 65_537n }],
  ['RSA 3072, exponent 3', () => rsaKeys(3072, 3), { type: 'rsa', bits: 3072, exponent: 3n }],
  ['ML-DSA-44', () => generateKeyPairSync('ml-dsa-44'), { type: 'ml-dsa-44' }],
  ['ML-DSA-65', () => generateKeyPairSync('ml-dsa-65'), { type: 'ml-dsa-65' }],
  ['ML-DSA-87', () => generateKeyPairSync('ml-dsa-87'), { type: 'ml-dsa-87' }],
];

const subject = nameOf(
  [attribute('2.5.4.6', text(0x13, 'NL'))],
  [attribute('2.5.4.10', text(0x0c, 'Waterschap Zeeland')), attribute('2.5.4.5', text(0x13, 'SN-00017'))],
  [attribute('2.5.4.3', text(0x0c, 'pomp-7 ü'))],
);
const access = (arc: number, url: string) => sequence(oid(`1.3.6.1.5.5.7.48.${arc}`), uri(url));

/** Something in every field. */
const full: Plan = {
  subject,
  serial: tlv(2, Buffer.from('0095', 'hex'), Buffer.alloc(17, 0xab)),
  from: '2026-02-28T23:59:59Z',
  until: '9999-12-31T23:59:59Z',
  extensions: {
    extKeyUsage: extKeyUsage(clientAuth, serverAuth),
    altNames: altNames([
      uri('spiffe://plant.example/fleet/water/device/pump-7'),
      dns('pump-7.plant.example'),
      email('pump-7@plant.example'),
      ip('c0000207'),
      ip('20010db8000000000000000000000001'),
      directory(cn('pump-7')),
      otherName('1.3.6.1.5.5.7.8.4', sequence(oid('1.3.6.1.4.1.55738'), tlv(4, Buffer.from('SN17')))),
      tlv(0x88, oid('1.2.840.113556').subarray(2)),
    ]),
    cdp: extension(
      '2.5.29.31',
      sequence(
        sequence(context(0, context(0, uri('http://pki.example/a.crl'), uri('http://pki.example/b.crl')))),
      ),
    ),
    aia: extension(
      '1.3.6.1.5.5.7.1.1',
      sequence(access(1, 'http://ocsp.example/'), access(2, 'http://pki.example/ca.cer')),
    ),
    policies: extension('2.5.29.32', sequence(sequence(oid('1.3.6.1.4.1.55738.9')))),
    odd: extension('1.3.6.1.4.1.55738.666.1', integer(1), true),
  },
};

function find<Value>(read: asn1.Certificate, id: string, type: new () => Value): Value {
  const found = read.tbsCertificate.extensions?.find(({ extnID }) => extnID === id);
  return AsnConvert.parse(found!.extnValue.buffer, type);
}

const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');

/** Field by field against the ASN.1 schemas of @peculiar. */
function compareWithPeculiar(ours: Certificate, der: Buffer): void {
  const theirs = AsnConvert.parse(der, asn1.Certificate);
  const { tbsCertificate: tbs } = theirs;
  expect(ours.version).toBe(tbs.version + 1);
  expect(ours.serialNumber).toBe(hex(tbs.serialNumber).replace(/^00(?=.)/, ''));
  expect(ours.tbs.toString('hex')).toBe(hex(theirs.tbsCertificateRaw!));
  expect(ours.signature.toString('hex')).toBe(hex(theirs.signatureValue));
  expect(ours.notBeforeMs).toBe(tbs.validity.notBefore.getTime().getTime());
  expect(ours.notAfterMs).toBe(tbs.validity.notAfter.getTime().getTime());
  expect(ours.spki.toString('hex')).toBe(hex(AsnConvert.serialize(tbs.subjectPublicKeyInfo)));
  for (const [mine, other] of [
    [ours.issuer, tbs.issuer],
    [ours.subject, tbs.subject],
  ] as const) {
    expect(mine.der.toString('hex')).toBe(hex(AsnConvert.serialize(other)));
    expect(mine.rdns.map((rdn) => rdn.map(({ oid: type, value }) => [type, value]))).toEqual(
      [...other].map((rdn) => [...rdn].map(({ type, value }) => [type, value.toString()])),
    );
  }
  expect(ours.extensions.list.map((each) => [each.oid, each.critical, each.value.toString('hex')])).toEqual(
    tbs.extensions!.map((each) => [each.extnID, each.critical, hex(each.extnValue.buffer)]),
  );
  const keyId = find(theirs, asn1.id_ce_subjectKeyIdentifier, asn1.SubjectKeyIdentifier);
  expect(ours.extensions.subjectKeyId?.keyId).toBe(hex(keyId.buffer));
  const authority = find(theirs, asn1.id_ce_authorityKeyIdentifier, asn1.AuthorityKeyIdentifier);
  expect(ours.extensions.authorityKeyId?.keyId).toBe(hex(authority.keyIdentifier!.buffer));
}

test.each(keyTypes)('%s: every field of a leaf is read as two others read it', (_name, makeKeys, facts) => {
  const ca = forgeCa({ subject: cn('Plant Root'), keys: makeKeys() });
  const { der } = forgeLeaf({ ...full, keys: makeKeys() }, ca);
  const ours = readCertificate(der);
  expect(ours.key).toEqual(facts);
  compareWithPeculiar(ours, der);
  compareWithPeculiar(readCertificate(ca.der), ca.der);

  const openssl = new X509Certificate(der);
  expect(ours.serialNumber).toBe(openssl.serialNumber.toLowerCase());
  expect(ours.notBeforeMs).toBe(openssl.validFromDate.getTime());
  expect(ours.notAfterMs).toBe(openssl.validToDate.getTime());
  expect(ours.publicKey().equals(openssl.publicKey)).toBe(true);
  expect(ours.extensions.extKeyUsage?.purposes).toEqual(openssl.keyUsage);
  expect(ours.extensions.basicConstraints).toEqual({ critical: true, ca: openssl.ca, pathLength: null });
});

test('alternative names and the other extensions keep their types and values', () => {
  const { extensions, subject: name } = readCertificate(forgeLeaf(full, forgeCa({})).der);
  const names = extensions.subjectAltName!.names;
  expect(names.map(({ type }) => type)).toEqual([
    'uri',
    'dns',
    'email',
    'ip',
    'ip',
    'directoryName',
    'otherName',
    'registeredId',
  ]);
  expect(names[0]).toEqual({ type: 'uri', value: 'spiffe://plant.example/fleet/water/device/pump-7' });
  expect(names[3]).toEqual({ type: 'ip', value: Buffer.from([192, 0, 2, 7]) });
  expect(names[5]).toMatchObject({ value: { der: cn('pump-7') } });
  expect(names[6]).toMatchObject({ typeId: '1.3.6.1.5.5.7.8.4' });
  expect(names[7]).toEqual({ type: 'registeredId', value: '1.2.840.113556' });
  expect(extensions).toMatchObject({
    keyUsage: { critical: true, usages: ['digitalSignature'] },
    crlDistributionPoints: { uris: ['http://pki.example/a.crl', 'http://pki.example/b.crl'] },
    authorityInfoAccess: { ocsp: ['http://ocsp.example/'], caIssuers: ['http://pki.example/ca.cer'] },
    certificatePolicies: { policies: ['1.3.6.1.4.1.55738.9'] },
    unknownCritical: ['1.3.6.1.4.1.55738.666.1'],
    issuerAltName: null,
    nameConstraints: null,
    policyConstraints: null,
  });
  expect(valuesOf(name, attributeOids.serialNumber)).toEqual(['SN-00017']);
  expect(valuesOf(name, attributeOids.commonName)).toEqual(['pomp-7 ü']);
});

test('a CA keeps its path length and its name constraints', () => {
  const ca = forgeCa({
    extensions: {
      basicConstraints: basicConstraints(true, 3),
      keyUsage: keyUsage('keyCertSign'),
      names: nameConstraints([dns('plant.example')], [ip('c0000200ffffff00'), directory(cn('x'))]),
    },
  });
  const { extensions } = readCertificate(ca.der);
  expect(extensions.basicConstraints).toEqual({ critical: true, ca: true, pathLength: 3 });
  expect(extensions.nameConstraints?.permitted).toEqual([{ type: 'dns', value: 'plant.example' }]);
  expect(extensions.nameConstraints?.excluded.map(({ type }) => type)).toEqual(['ip', 'directoryName']);
});

test('strings of each type are read as text', () => {
  const utf16 = Buffer.from('pümp', 'utf16le').swap16();
  const of = (value: Buffer) =>
    readCertificate(forgeLeaf({ subject: nameOf([attribute('2.5.4.3', value)]) }, forgeCa({})).der).subject
      .rdns[0]![0];
  expect(of(tlv(0x1e, utf16))).toMatchObject({ type: 'bmp', value: 'pümp' });
  expect(of(tlv(0x14, Buffer.from('p\u00fcmp', 'latin1')))).toMatchObject({ type: 'teletex', value: 'pümp' });
  expect(of(tlv(0x1c, Buffer.from('0001f600', 'hex')))).toMatchObject({ type: 'universal', value: '😀' });
  expect(of(text(0x16, 'a@b'))).toMatchObject({ type: 'ia5', value: 'a@b' });
  expect(of(integer(5))).toMatchObject({ type: 'other', value: '020105' });
});

test('negative and zero serial numbers are read as such, for the path to refuse', () => {
  const of = (serial: Buffer) => readCertificate(forgeLeaf({ serial }, forgeCa({})).der).serialNumber;
  expect(of(tlv(2, Buffer.from([0xff])))).toBe('-01');
  expect(of(tlv(2, Buffer.from([0x80, 0x00])))).toBe('-8000');
  expect(of(integer(0))).toBe('00');
  expect(of(integer(0x80))).toBe('80');
});

test('the times of RFC 5280 are read to the second, over every turn of the calendar', () => {
  const ca = forgeCa({});
  for (const iso of [
    '1950-01-01T00:00:00Z',
    '1969-12-31T23:59:59Z',
    '1999-12-31T23:59:59Z',
    '2000-02-29T12:00:00Z',
    '2024-02-29T00:00:01Z',
    '2049-12-31T23:59:59Z',
    '2050-01-01T00:00:00Z',
    '2100-03-01T00:00:00Z',
    '9999-12-31T23:59:59Z',
  ]) {
    expect(readCertificate(forgeLeaf({ until: iso }, ca).der).notAfterMs).toBe(Date.parse(iso));
  }
});

test('a certificate is frozen, and keeps nothing of the buffer it was read from', () => {
  const { der } = forgeLeaf({}, forgeCa({}));
  const copy = Buffer.from(der);
  const read = readCertificate(copy);
  copy.fill(0);
  expect(read.der.equals(der)).toBe(true);
  const open: string[] = [];
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return;
    if (!Object.isFrozen(value)) open.push(path);
    for (const [key, inner] of Object.entries(value)) visit(inner, `${path}.${key}`);
  };
  visit(readCertificate(forgeLeaf(full, forgeCa({})).der), 'certificate');
  expect(open).toEqual([]);
});

test('broken hashes are named, not mended', () => {
  const ca = forgeCa({ keys: rsaKeys(2048) });
  const { signatureAlgorithm } = readCertificate(forgeLeaf({ signing: signings['rsa-sha1'] }, ca).der);
  expect(signatureAlgorithm).toEqual({ type: 'weak', oid: '1.2.840.113549.1.1.5' });
});
