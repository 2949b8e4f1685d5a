/** OCSP requests, well-formed by another implementation and broken in every way: read rightly, or refused as malformed. */
import { randomBytes } from 'node:crypto';
import * as ocsp from '@peculiar/asn1-ocsp';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier, Extension, GeneralName } from '@peculiar/asn1-x509';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '#common/fault.ts';
import { readOcspRequest } from '../../../../registry/ca/ocsp-request.ts';

const hashes = { sha1: ['1.3.14.3.2.26', 20], sha256: ['2.16.840.1.101.3.4.2.1', 32] } as const;
const nonceId = ocsp.id_pkix_ocsp_nonce;

const certId = (
  serial: Uint8Array = Buffer.from('4a01', 'hex'),
  by: keyof typeof hashes = 'sha1',
  parameters: ArrayBuffer | null | undefined = null,
) => {
  const [algorithm, length] = hashes[by];
  return new ocsp.CertID({
    hashAlgorithm: new AlgorithmIdentifier({ algorithm, parameters }),
    issuerNameHash: new OctetString(Buffer.alloc(length, 1)),
    issuerKeyHash: new OctetString(Buffer.alloc(length, 2)),
    serialNumber: bytes(serial),
  });
};
const bytes = (from: Uint8Array): ArrayBuffer => Uint8Array.from(from).buffer;
const nonce = (value: Uint8Array, critical = false) =>
  new Extension({
    extnID: nonceId,
    critical,
    extnValue: new OctetString(AsnConvert.serialize(new OctetString(value))),
  });
const build = (certIds: ocsp.CertID[], extensions?: Extension[], more: Partial<ocsp.TBSRequest> = {}) =>
  Buffer.from(
    AsnConvert.serialize(
      new ocsp.OCSPRequest({
        tbsRequest: new ocsp.TBSRequest({
          requestList: certIds.map((reqCert) => new ocsp.Request({ reqCert })),
          ...(extensions && { requestExtensions: extensions }),
          ...more,
        }),
      }),
    ),
  );

const refused = (der: Buffer) => {
  try {
    readOcspRequest(der, 8);
    return false;
  } catch (thrown) {
    return thrown instanceof Fault && thrown.kind === 'malformed';
  }
};

test.each(['sha1', 'sha256'] as const)('%s, with parameters NULL and absent', (by) => {
  for (const parameters of [null, undefined]) {
    const { certIds, nonce: none } = readOcspRequest(build([certId(undefined, by, parameters)]), 8);
    const [, length] = hashes[by];
    expect(none).toBeNull();
    expect(certIds).toMatchObject([
      {
        hash: by,
        serial: '4a01',
        issuerHash: Buffer.concat([Buffer.alloc(length, 1), Buffer.alloc(length, 2)]),
      },
    ]);
    expect(certIds[0]!.der).toEqual(Buffer.from(AsnConvert.serialize(certId(undefined, by, parameters))));
  }
});

test.each([
  ['a high first bit', '00c3aa', 'c3aa'],
  ['zero', '00', '00'],
  ['twenty octets', `7f${'aa'.repeat(19)}`, `7f${'aa'.repeat(19)}`],
  ['twenty octets and a zero', `00${'ff'.repeat(20)}`, 'ff'.repeat(20)],
  ['twenty-one octets', '7f'.repeat(21), null],
  ['minus one', 'ff', null],
])('a serial number with %s', (_what, octets, serial) => {
  expect(readOcspRequest(build([certId(Buffer.from(octets, 'hex'))]), 8).certIds[0]!.serial).toBe(serial);
});

test('a nonce of 1 to 32 octets is read, critical or not', () => {
  for (const length of [1, 16, 23, 32])
    for (const critical of [false, true]) {
      const value = randomBytes(length);
      expect(readOcspRequest(build([certId()], [nonce(value, critical)]), 8).nonce).toEqual(value);
    }
});

test('what need not be looked at is passed over: a requestor, a signature, preferred algorithms', () => {
  const preferred = new Extension({
    extnID: ocsp.id_pkix_ocsp_pref_sig_algs,
    extnValue: new OctetString(Buffer.from('3000', 'hex')),
  });
  const requestorName = new GeneralName({ dNSName: 'client.example' });
  expect(readOcspRequest(build([certId()], [preferred], { requestorName }), 8).certIds).toHaveLength(1);
  const signed = AsnConvert.parse(build([certId()]), ocsp.OCSPRequest);
  signed.optionalSignature = new ocsp.Signature({
    signatureAlgorithm: new AlgorithmIdentifier({ algorithm: '1.2.840.10045.4.3.2' }),
    signature: new ArrayBuffer(64),
  });
  expect(readOcspRequest(Buffer.from(AsnConvert.serialize(signed)), 8).certIds).toHaveLength(1);
});

test('eight certificates are read, nine and a thousand are not', () => {
  expect(readOcspRequest(build(Array.from({ length: 8 }, () => certId())), 8).certIds).toHaveLength(8);
  for (const length of [9, 1000]) expect(refused(build(Array.from({ length }, () => certId())))).toBe(true);
});

test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['no certificate', build([])],
  ['something after it', Buffer.concat([build([certId()]), Buffer.from([0])])],
  ['a nonce of no octets', build([certId()], [nonce(Buffer.alloc(0))])],
  ['a nonce of 33 octets', build([certId()], [nonce(Buffer.alloc(33))])],
  [
    'a nonce that is no OCTET STRING',
    build([certId()], [new Extension({ extnID: nonceId, extnValue: new OctetString(Buffer.alloc(8, 1)) })]),
  ],
  ['a nonce twice', build([certId()], [nonce(Buffer.alloc(8)), nonce(Buffer.alloc(8))])],
  [
    'any extension twice',
    build(
      [certId()],
      ['1.2.3', '1.2.3'].map(
        (extnID) => new Extension({ extnID, extnValue: new OctetString(Buffer.alloc(2)) }),
      ),
    ),
  ],
  [
    'a critical extension that nobody knows',
    build(
      [certId()],
      [new Extension({ extnID: '1.2.3', critical: true, extnValue: new OctetString(Buffer.alloc(2)) })],
    ),
  ],
  [
    'too many extensions',
    build(
      [certId()],
      Array.from(
        { length: 9 },
        (_, at) => new Extension({ extnID: `1.2.${at}`, extnValue: new OctetString(Buffer.alloc(2)) }),
      ),
    ),
  ],
  ['version 2', build([certId()], undefined, { version: 1 as ocsp.Version })],
  [
    'SHA-512',
    build([
      new ocsp.CertID({
        ...certId(),
        hashAlgorithm: new AlgorithmIdentifier({ algorithm: '2.16.840.1.101.3.4.2.3' }),
      }),
    ]),
  ],
  [
    'SHA-1 with hashes of 32 octets',
    build([new ocsp.CertID({ ...certId(), issuerNameHash: new OctetString(Buffer.alloc(32)) })]),
  ],
  ['a serial number not in its shortest form', build([certId(Buffer.from('004a', 'hex'))])],
  [
    'an indefinite length',
    Buffer.concat([Buffer.from([0x30, 0x80]), build([certId()]).subarray(2), Buffer.alloc(2)]),
  ],
  [
    'a length that is not the shortest',
    Buffer.concat([Buffer.from([0x30, 0x81]), build([certId()]).subarray(1)]),
  ],
  ['a length of four gigabytes', Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30, 0x00])],
  ['deep nesting', Buffer.from('3080'.repeat(2000), 'hex')],
])('%s is malformed', (_what, der) => expect(refused(der)).toBe(true));

test('cut anywhere it is malformed', () => {
  const der = build([certId(), certId()], [nonce(randomBytes(16))]);
  for (let cut = 0; cut < der.length; cut++) expect(refused(der.subarray(0, cut))).toBe(true);
});

test('with any octet changed it is refused as malformed, or read as another implementation reads it', () => {
  const der = build([certId(), certId(randomBytes(9), 'sha256')], [nonce(randomBytes(16))]);
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = Buffer.from(der);
      changed[at]! ^= flip;
      if (refused(changed)) return;
      const ours = readOcspRequest(changed, 8);
      const theirs = AsnConvert.parse(changed, ocsp.OCSPRequest).tbsRequest;
      expect(ours.certIds.map(({ issuerHash }) => issuerHash)).toEqual(
        theirs.requestList.map(({ reqCert }) =>
          Buffer.concat([
            Buffer.from(reqCert.issuerNameHash.buffer),
            Buffer.from(reqCert.issuerKeyHash.buffer),
          ]),
        ),
      );
    }),
    { numRuns: 2000 },
  );
});

test('arbitrary octets are malformed and nothing worse', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      expect(refused(Buffer.from(octets))).toBe(true);
    }),
  );
});
