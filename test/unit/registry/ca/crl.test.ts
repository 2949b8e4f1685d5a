/** Revocation lists as another implementation reads them: every entry, number and key identifier; odd numbers and times. */
import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import * as asn from '@peculiar/asn1-x509';
import { X509Crl } from '@peculiar/x509';
import { expect, test } from 'vitest';
import {
  assembleCrl,
  buildTbsCrl,
  type CrlContents,
  type RevokedEntry,
} from '../../../../registry/ca/crl.ts';
import { makeTestIssuer } from '../../../harness/test-issuer.ts';

const issuer = await makeTestIssuer('P-256');
const atMs = Date.UTC(2026, 0, 2, 3, 4, 5);

async function build(revoked: Iterable<RevokedEntry>, change: Partial<CrlContents> = {}) {
  const algorithm = issuer.signer.algorithm.der;
  const tbs = buildTbsCrl(
    {
      issuerName: issuer.identity.name,
      authorityKeyId: issuer.identity.keyId,
      number: 7n,
      thisUpdateMs: atMs,
      nextUpdateMs: atMs + 3_600_000,
      algorithm,
      ...change,
    },
    revoked,
  );
  const der = assembleCrl(tbs, algorithm, await issuer.signer.sign(tbs));
  return { der, read: AsnConvert.parse(der, asn.CertificateList) };
}

const extensionOf = <T>(read: asn.CertificateList, id: string, type: new () => T): T =>
  AsnConvert.parse(
    read.tbsCertList.crlExtensions!.find(({ extnID }) => extnID === id)!.extnValue.buffer,
    type,
  );

test('version 2, the issuer byte for byte, both times, number and key identifier, and no scope', async () => {
  const { der, read } = await build([{ serial: '4a', revokedMs: atMs, reason: null }]);
  expect(read.tbsCertList.version).toBe(asn.Version.v2);
  expect(Buffer.from(AsnConvert.serialize(read.tbsCertList.issuer))).toEqual(issuer.identity.name);
  expect(read.tbsCertList.thisUpdate.getTime().getTime()).toBe(atMs);
  expect(read.tbsCertList.nextUpdate!.getTime().getTime()).toBe(atMs + 3_600_000);
  expect(read.tbsCertList.crlExtensions!.map(({ extnID, critical }) => [extnID, critical])).toEqual([
    [asn.id_ce_authorityKeyIdentifier, false],
    [asn.id_ce_cRLNumber, false],
  ]);
  expect(extensionOf(read, asn.id_ce_cRLNumber, asn.CRLNumber).value).toBe(7);
  const { keyIdentifier } = extensionOf(read, asn.id_ce_authorityKeyIdentifier, asn.AuthorityKeyIdentifier);
  expect(Buffer.from(keyIdentifier!.buffer)).toEqual(issuer.identity.keyId);
  // Encoded as another encoder would.
  expect(Buffer.from(AsnConvert.serialize(read))).toEqual(der);
});

test('an empty list has no list', async () => {
  const { der, read } = await build([]);
  expect(read.tbsCertList.revokedCertificates).toBeUndefined();
  expect(new X509Crl(der).entries).toEqual([]);
});

test('reasons keep their code; unspecified, none and words of the house are left out', async () => {
  const reasons = {
    unspecified: null,
    abandoned: null,
    constructor: null,
    keyCompromise: 1,
    cACompromise: 2,
    affiliationChanged: 3,
    superseded: 4,
    cessationOfOperation: 5,
    certificateHold: 6,
    privilegeWithdrawn: 9,
    aACompromise: 10,
  };
  const { read } = await build(
    Object.keys(reasons).map((reason) => ({ serial: '4a', revokedMs: atMs, reason })),
  );
  const codes = read.tbsCertList.revokedCertificates!.map(({ crlEntryExtensions }) => {
    const [found] = crlEntryExtensions ?? [];
    return found ? AsnConvert.parse(found.extnValue.buffer, asn.CRLReason).reason : null;
  });
  expect(codes).toEqual(Object.values(reasons));
});

test('serial numbers of any shape are the positive numbers they were', async () => {
  const serials = ['01', '7f', '80', '8000', 'ff', 'c3'.repeat(20), '7f'.repeat(20), '0100'];
  const { der, read } = await build(serials.map((serial) => ({ serial, revokedMs: atMs, reason: null })));
  expect(Buffer.from(AsnConvert.serialize(read))).toEqual(der);
  const found = read.tbsCertList.revokedCertificates!.map(({ userCertificate }) =>
    Buffer.from(userCertificate).toString('hex'),
  );
  expect(found).toEqual(serials.map((serial) => (serial < '8' ? serial : `00${serial}`)));
});

test('a serial number that no CA may make is not cut down to another', async () => {
  await expect(build([{ serial: '4a'.repeat(21), revokedMs: atMs, reason: null }])).rejects.toMatchObject({
    kind: 'internal',
  });
});

test('from 2050 on times have four digits of year, and fractions of a second are gone', async () => {
  const lateMs = Date.UTC(2050, 0, 1);
  const { der, read } = await build(
    [lateMs - 1, lateMs, lateMs + 999].map((revokedMs) => ({
      serial: '4a',
      revokedMs,
      reason: 'superseded',
    })),
    { nextUpdateMs: lateMs },
  );
  const times = read.tbsCertList.revokedCertificates!.map(({ revocationDate }) => revocationDate);
  expect(times.map((each) => each.getTime().getTime())).toEqual([lateMs - 1000, lateMs, lateMs]);
  expect(times.map(({ utcTime }) => utcTime !== undefined)).toEqual([true, false, false]);
  expect(Buffer.from(AsnConvert.serialize(read))).toEqual(der);
});

test('a number that grows beyond 64 bits is still a number', async () => {
  const { read } = await build([], { number: 2n ** 158n + 5n });
  const { extnValue } = read.tbsCertList.crlExtensions!.find(({ extnID }) => extnID === asn.id_ce_cRLNumber)!;
  expect(BigInt(`0x${Buffer.from(extnValue.buffer).subarray(2).toString('hex')}`)).toBe(2n ** 158n + 5n);
});

test('a thousand entries fit, whatever they are', async () => {
  const entries = Array.from({ length: 1_000 }, (_, index) => ({
    serial: `${'489f'[index % 4]}0${randomBytes(index % 20).toString('hex')}`,
    revokedMs: index % 3 === 0 ? Date.UTC(2051, 0, 1) + index : atMs - index * 1000,
    reason: index % 2 === 0 ? 'keyCompromise' : null,
  }));
  const { der, read } = await build(entries);
  expect(read.tbsCertList.revokedCertificates).toHaveLength(1_000);
  expect(Buffer.from(AsnConvert.serialize(read))).toEqual(der);
});
