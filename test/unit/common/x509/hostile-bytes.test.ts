/** Certificates that cannot be read in one way alone: each is a fault with a word for what is wrong, and no more. */
import { expect, test } from 'vitest';
import { Fault } from '#common/fault.ts';
import { readCertificate } from '#common/x509/certificate.ts';
import { readDer } from '#common/x509/der.ts';
import {
  bits,
  context,
  contextText,
  integer,
  nothing,
  octets,
  oid,
  sequence,
  text,
  tlv,
} from '../../../harness/der-writer.ts';
import {
  altNames,
  attribute,
  directory,
  dns,
  extension,
  extKeyUsage,
  ip,
  nameConstraints,
  nameOf,
  signings,
  subjectKeyId,
  uri,
} from '../../../harness/forged-certificate.ts';
import type { Chain } from '../../../harness/judged-chain.ts';
import { chain, good, leafWith, root, testHostile } from '../../../harness/plant-chain.ts';

const leaf = (der: Buffer): Chain => ({ leaf: der, anchors: [root.der] });
const commonName = (value: Buffer): Buffer => nameOf([attribute('2.5.4.3', value)]);
const subject = (value: Buffer): Chain => chain({ subject: commonName(value) });
const altName = (...names: readonly Buffer[]): Chain => leafWith({ altNames: altNames(names) });
const constraint = (base: Buffer, ...more: readonly Buffer[]): Chain =>
  chain(
    {},
    { extensions: { nc: extension('2.5.29.30', sequence(context(0, sequence(base, ...more))), true) } },
  );
const basic = (...fields: readonly Buffer[]): Chain =>
  leafWith({ basicConstraints: extension('2.5.29.19', sequence(...fields), true) });
const explicitFalse = tlv(1, Buffer.from([0]));

/** The same certificate in the indefinite form (X.690, section 8.1.3.6). */
const indefinite = (): Buffer =>
  Buffer.concat([Buffer.from([0x30, 0x80]), good.der.subarray(4), Buffer.from([0, 0])]);
/** The length with an octet more than it needs. */
const longForm = (): Buffer =>
  Buffer.concat([Buffer.from([0x30, 0x83, 0]), good.der.subarray(2, 4), good.der.subarray(4)]);

const withSignature = (bitString: Buffer): Buffer =>
  sequence(
    ...readDer(good.der)
      .items.slice(0, 2)
      .map(({ der }) => der),
    bitString,
  );

const nested = (depth: number): Buffer => (depth === 1 ? nothing : sequence(nested(depth - 1)));
const dsaParameters = sequence(integer(1), integer(2), integer(3));

testHostile([
  // the shell
  ['nothing at all', 'malformed: encoding', () => leaf(Buffer.alloc(0))],
  ['text', 'malformed: encoding', () => leaf(Buffer.from('-----BEGIN CERTIFICATE-----'))],
  ['bytes behind it', 'malformed: encoding', () => leaf(Buffer.concat([good.der, Buffer.from([0])]))],
  ['a byte missing', 'malformed: encoding', () => leaf(good.der.subarray(0, -1))],
  ['the indefinite form', 'malformed: encoding', () => leaf(indefinite())],
  ['a length that is too long', 'malformed: encoding', () => leaf(longForm())],
  ['a length of five octets', 'malformed: encoding', () => leaf(Buffer.from('3085000000000100', 'hex'))],
  [
    'a field too many',
    'malformed: encoding',
    () => leaf(sequence(good.der, nothing, bits(Buffer.alloc(1)), nothing)),
  ],
  [
    'a signature of broken bits',
    'malformed: encoding',
    () => leaf(withSignature(tlv(3, Buffer.from([8, 0xff])))),
  ],
  ['more than 64 KiB', 'malformed: too-large', () => leaf(Buffer.alloc(65_537))],
  ['deeper than 16', 'malformed: too-large', () => leafWith({ deep: extension('2.5.29.32', nested(17)) })],
  [
    'more than 8192 elements',
    'malformed: too-large',
    () => altName(...Array.from({ length: 8192 }, () => dns('a.b'))),
  ],
  [
    'more than 64 extensions',
    'malformed: extension',
    () =>
      leafWith(
        Object.fromEntries(
          Array.from({ length: 61 }, (_, at) => [`x${at}`, extension(`1.2.3.${at}`, nothing)]),
        ),
      ),
  ],
  // version, serial number, algorithm, time
  ['version 1 with extensions', 'malformed: version', () => chain({ version: Buffer.alloc(0) })],
  ['version 1 written out', 'malformed: version', () => chain({ version: context(0, integer(0)) })],
  ['version 2', 'malformed: version', () => chain({ version: context(0, integer(1)) })],
  ['version 4', 'malformed: version', () => chain({ version: context(0, integer(3)) })],
  [
    'a serial number with a leading zero',
    'malformed: encoding',
    () => chain({ serial: tlv(2, Buffer.from([0, 1])) }),
  ],
  ['a serial number of no octets', 'malformed: encoding', () => chain({ serial: tlv(2) })],
  [
    'a serial number of 65 octets',
    'malformed: serial-number',
    () => chain({ serial: tlv(2, Buffer.alloc(65, 1)) }),
  ],
  [
    'two signature algorithms',
    'malformed: algorithm-mismatch',
    () => chain({ inner: signings['ecdsa-sha384'].identifier }),
  ],
  ['a UTCTime without seconds', 'malformed: time', () => chain({ until: text(0x17, '3601010000Z') })],
  ['a UTCTime with an offset', 'malformed: time', () => chain({ until: text(0x17, '360101000000+0100') })],
  ['a GeneralizedTime before 2050', 'malformed: time', () => chain({ until: text(0x18, '20360101000000Z') })],
  [
    'a GeneralizedTime with a fraction',
    'malformed: time',
    () => chain({ until: text(0x18, '20510101000000.5Z') }),
  ],
  ['a 30th of February', 'malformed: time', () => chain({ until: text(0x17, '360230000000Z') })],
  ['a 25th hour', 'malformed: time', () => chain({ until: text(0x17, '360101250000Z') })],
  ['a time as text', 'malformed: time', () => chain({ until: text(0x0c, '360101000000Z') })],
  // names
  ['a NUL in CN', 'malformed: name', () => subject(text(0x0c, 'pump-7\0.evil.example'))],
  ['a newline in CN', 'malformed: name', () => subject(text(0x13, 'pump-7\npump-8'))],
  ['broken UTF-8', 'malformed: name', () => subject(tlv(0x0c, Buffer.from([0xc0, 0x80])))],
  ['a BMPString of odd length', 'malformed: name', () => subject(tlv(0x1e, Buffer.from([0, 0x70, 0])))],
  ['UTF-16 in a BMPString', 'malformed: name', () => subject(tlv(0x1e, Buffer.from('d83dde1c', 'hex')))],
  ['a BMPString with a NUL', 'malformed: name', () => subject(tlv(0x1e, Buffer.from('00700000', 'hex')))],
  [
    'a UniversalString beyond Unicode',
    'malformed: name',
    () => subject(tlv(0x1c, Buffer.from('00110000', 'hex'))),
  ],
  ['an underscore in a PrintableString', 'malformed: name', () => subject(text(0x13, 'pump_7'))],
  ['a letter in a NumericString', 'malformed: name', () => subject(text(0x12, '7a'))],
  ['a string built of pieces', 'malformed: encoding', () => subject(tlv(0x2c, text(0x0c, 'pump-7')))],
  ['an attribute of 4097 octets', 'malformed: name', () => subject(text(0x0c, 'p'.repeat(4097)))],
  ['an RDN without attributes', 'malformed: name', () => chain({ subject: sequence(tlv(0x31)) })],
  [
    'an RDN out of order',
    'malformed: name',
    () =>
      chain({
        subject: sequence(
          tlv(0x31, attribute('2.5.4.10', text(0x0c, 'b')), attribute('2.5.4.3', text(0x0c, 'a'))),
        ),
      }),
  ],
  [
    'an attribute twice in one RDN',
    'malformed: name',
    () =>
      chain({
        subject: nameOf([attribute('2.5.4.3', text(0x0c, 'a')), attribute('2.5.4.3', text(0x0c, 'a'))]),
      }),
  ],
  ['alternative names that are none', 'malformed: general-name', () => altName()],
  ['a NUL in a dNSName', 'malformed: general-name', () => altName(dns('pump-7.example\0.evil.example'))],
  ['a dNSName beyond ASCII', 'malformed: general-name', () => altName(dns('p\u00fcmp.example'))],
  ['an empty URI', 'malformed: general-name', () => altName(uri(''))],
  ['an address of five octets', 'malformed: general-name', () => altName(ip('c000020101'))],
  ['an alternative name without a type', 'malformed: general-name', () => altName(text(0x0c, 'pump-7'))],
  ['an otherName without a value', 'malformed: general-name', () => altName(context(0, oid('1.2.3')))],
  ['a registeredID that is none', 'malformed: encoding', () => altName(tlv(0x88, Buffer.from([0x2a, 0x80])))],
  ['a directoryName that is tagged implicitly', 'malformed: name', () => altName(tlv(0xa4, nothing))],
  // extensions
  [
    'a critical extension twice',
    'malformed: duplicate-extension',
    () => leafWith({ again: extKeyUsage('1.3.6.1.5.5.7.3.2') }),
  ],
  [
    'an unknown extension twice',
    'malformed: duplicate-extension',
    () => leafWith({ a: extension('1.2.3', nothing), b: extension('1.2.3', nothing) }),
  ],
  [
    'a default value written out',
    'malformed: encoding',
    () => leafWith({ odd: sequence(oid('1.2.3'), explicitFalse, octets(nothing)) }),
  ],
  ['cA FALSE written out', 'malformed: encoding', () => basic(explicitFalse)],
  ['a BOOLEAN of 1', 'malformed: encoding', () => basic(tlv(1, Buffer.from([1])))],
  ['a negative path length', 'malformed: encoding', () => basic(tlv(2, Buffer.from([0xff])))],
  ['an empty extendedKeyUsage', 'malformed: extension', () => leafWith({ extKeyUsage: extKeyUsage() })],
  [
    'a keyUsage of no bits',
    'malformed: extension',
    () => leafWith({ keyUsage: extension('2.5.29.15', bits(Buffer.from([0]), 7), true) }),
  ],
  [
    'a keyUsage with zeros at its end',
    'malformed: extension',
    () => leafWith({ keyUsage: extension('2.5.29.15', bits(Buffer.from([0x80]), 0), true) }),
  ],
  [
    'a keyUsage with dirty unused bits',
    'malformed: encoding',
    () => leafWith({ keyUsage: extension('2.5.29.15', bits(Buffer.from([0xff]), 7), true) }),
  ],
  [
    'no extensions in their wrapper',
    'malformed: extension',
    () => chain({ wrapExtensions: () => context(3) }),
  ],
  [
    'an empty list of extensions',
    'malformed: extension',
    () => chain({ wrapExtensions: () => context(3, sequence()) }),
  ],
  [
    'an extension with bytes behind its value',
    'malformed: encoding',
    () => leafWith({ extKeyUsage: sequence(oid('2.5.29.37'), octets(sequence(oid('1.2.3')), nothing)) }),
  ],
  [
    'an empty key identifier',
    'malformed: extension',
    () => leafWith({ subjectKeyId: subjectKeyId(Buffer.alloc(0)) }),
  ],
  [
    'name constraints that are empty',
    'malformed: extension',
    () => chain({}, { extensions: { nc: nameConstraints([]) } }),
  ],
  [
    'a name constraint with a minimum',
    'malformed: encoding',
    () => constraint(dns('a.example'), contextText(0, '\u0001')),
  ],
  ['a name constraint with an address alone', 'malformed: general-name', () => constraint(ip('c0000200'))],
  [
    'a name constraint on a broken name',
    'malformed: name',
    () => constraint(directory(commonName(text(0x13, 'a\0b')))),
  ],
  [
    'a policy twice',
    'malformed: extension',
    () => leafWith({ pc: extension('2.5.29.32', sequence(sequence(oid('1.2.3')), sequence(oid('1.2.3')))) }),
  ],
  [
    'an authorityInfoAccess that is empty',
    'malformed: extension',
    () => leafWith({ aia: extension('1.3.6.1.5.5.7.1.1', sequence()) }),
  ],
  // keys
  [
    'an RSA key with parameters',
    'malformed: public-key',
    () => chain({ spki: sequence(sequence(oid('1.2.840.113549.1.1.1'), dsaParameters), bits(nothing)) }),
  ],
  [
    'a negative RSA modulus',
    'malformed: public-key',
    () =>
      chain({
        spki: sequence(
          sequence(oid('1.2.840.113549.1.1.1'), nothing),
          bits(sequence(tlv(2, Buffer.alloc(256, 0xc5)), integer(3))),
        ),
      }),
  ],
  [
    'a point that is cut off',
    'malformed: public-key',
    () =>
      chain({
        spki: sequence(
          sequence(oid('1.2.840.10045.2.1'), oid('1.2.840.10045.3.1.7')),
          bits(Buffer.from([4, 1, 2])),
        ),
      }),
  ],
  [
    'an Ed25519 key of 31 octets',
    'malformed: public-key',
    () => chain({ spki: sequence(sequence(oid('1.3.101.112')), bits(Buffer.alloc(31))) }),
  ],
]);

test('the limits themselves are allowed', () => {
  expect(() => readDer(nested(16))).not.toThrow();
  expect(() => readDer(nested(17))).toThrow(Fault);
  const full = sequence(...Array.from({ length: 8191 }, () => nothing));
  expect(readDer(full).items.length).toBe(8191);
  expect(() => readDer(sequence(...Array.from({ length: 8192 }, () => nothing)))).toThrow(/8192 elements/);
  expect(readDer(tlv(4, Buffer.alloc(65_536 - 4))).der.length).toBe(65_536);
});

test('a key that OpenSSL will not have is a fault when it is asked for', () => {
  const offCurve = sequence(
    sequence(oid('1.2.840.10045.2.1'), oid('1.2.840.10045.3.1.7')),
    bits(Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 9)])),
  );
  const read = readCertificate(chain({ spki: offCurve }).leaf);
  expect(() => read.publicKey()).toThrow(Fault);
});
