/** Keys, signatures and numbers that must not be trusted: weak ones, odd ones, and bombs. */
import { bits, integer, nothing, oid, sequence, tlv } from '../../../harness/der-writer.ts';
import {
  authorityKeyId,
  cn,
  dns,
  ecKeys,
  extension,
  forgeCa,
  forgeLeaf,
  rsaKeys,
  signings,
} from '../../../harness/forged-certificate.ts';
import type { Chain } from '../../../harness/judged-chain.ts';
import {
  chain,
  constrained,
  ladder,
  named,
  root,
  rsaRoot,
  testHostile,
} from '../../../harness/plant-chain.ts';

/** Every CA signs every other, under one name or many, and none leads to the anchor. */
function loop(size: number, name: (at: number) => Buffer, keyIds: boolean): Chain {
  const keys = Array.from({ length: size }, () => ecKeys());
  const cas = keys.map((pair, at) => forgeCa({ subject: name(at), keys: pair }));
  const bare: Record<string, Buffer> = keyIds
    ? {}
    : {
        authorityKeyId: authorityKeyId(Buffer.alloc(20, 7)),
        subjectKeyId: extension('2.5.29.14', tlv(4, Buffer.alloc(20, 7))),
      };
  const crossed = cas.map((ca, at) =>
    forgeCa({ subject: ca.subject, keys: ca.keys, extensions: bare }, cas[(at + 1) % size]!),
  );
  const leaf = forgeLeaf({ extensions: keyIds ? {} : { authorityKeyId: bare.authorityKeyId! } }, cas[0]!);
  return { leaf: leaf.der, intermediates: crossed.map(({ der }) => der), anchors: [root.der] };
}

const bigModulus = Buffer.concat([Buffer.from([0]), Buffer.alloc(2047, 0xc5), Buffer.from([0xc5])]);
const rsaSpki = (modulus: Buffer, exponent: Buffer): Buffer =>
  sequence(sequence(oid('1.2.840.113549.1.1.1'), nothing), bits(sequence(tlv(2, modulus), exponent)));
const modulus2048 = Buffer.concat([Buffer.from([0]), Buffer.alloc(256, 0xc5)]);
const ecSpki = (curve: Buffer, size: number): Buffer =>
  sequence(
    sequence(oid('1.2.840.10045.2.1'), curve),
    bits(Buffer.concat([Buffer.from([4]), Buffer.alloc(2 * size, 9)])),
  );
const explicitCurve = sequence(integer(1), sequence(oid('1.2.840.10045.1.1'), integer(23)));

/** Anchors of one name and no key identifier that differs: only signatures tell them apart. */
function signatureBomb(): Chain {
  const anchors = Array.from(
    { length: 40 },
    () =>
      forgeCa({
        subject: root.subject,
        extensions: { subjectKeyId: extension('2.5.29.14', tlv(4, root.keyId)), authorityKeyId: null },
      }).der,
  );
  return {
    leaf: forgeLeaf(
      { issuer: root.subject, extensions: { authorityKeyId: authorityKeyId(root.keyId) } },
      forgeCa({}),
    ).der,
    anchors,
  };
}

function nameBomb(): Chain {
  const many = (count: number, of: string) => Array.from({ length: count }, (_, at) => dns(`h${at}.${of}`));
  return chain(named(...many(300, 'a.example')), constrained([dns('a.example')], many(300, 'b.example')));
}

const hostile: readonly (readonly [string, string, () => Chain])[] = [
  // keys and signatures
  [
    'a leaf signed over SHA-1',
    'weak-signature',
    () => ({ leaf: forgeLeaf({ signing: signings['rsa-sha1'] }, rsaRoot).der, anchors: [rsaRoot.der] }),
  ],
  [
    'a leaf signed over MD5',
    'weak-signature',
    () => ({ leaf: forgeLeaf({ signing: signings['rsa-md5'] }, rsaRoot).der, anchors: [rsaRoot.der] }),
  ],
  [
    'an intermediate signed with ECDSA over SHA-1',
    'weak-signature',
    () => chain({}, { signing: signings['ecdsa-sha1'] }),
  ],
  [
    'a signature of another kind than the key',
    'algorithm',
    () => chain({ signing: { ...signings['ecdsa-sha256'], identifier: signings.ed25519.identifier } }),
  ],
  [
    'an unknown signature algorithm',
    'algorithm',
    () => chain({ signing: { hash: 'sha256', identifier: sequence(oid('1.2.3.4')) } }),
  ],
  [
    'ECDSA with parameters',
    'algorithm',
    () => chain({ signing: { hash: 'sha256', identifier: sequence(oid('1.2.840.10045.4.3.2'), nothing) } }),
  ],
  ['a leaf with 1024 bits of RSA', 'weak-key', () => chain({ keys: rsaKeys(1024) })],
  ['an intermediate with 1024 bits of RSA', 'weak-key', () => chain({}, { keys: rsaKeys(1024) })],
  ['an anchor with 1024 bits of RSA', 'weak-key', () => chain({}, {}, { keys: rsaKeys(1024) })],
  [
    '16,384 bits of RSA in the leaf',
    'key-too-large',
    () => chain({ spki: rsaSpki(bigModulus, integer(65_537)) }),
  ],
  [
    '16,384 bits of RSA in an intermediate',
    'key-too-large',
    () => chain({}, { spki: rsaSpki(bigModulus, integer(65_537)) }),
  ],
  ['an even exponent', 'weak-key', () => chain({ spki: rsaSpki(modulus2048, integer(65_536)) })],
  ['an exponent of 1', 'weak-key', () => chain({ spki: rsaSpki(modulus2048, integer(1)) })],
  ['an exponent of 2048 bits', 'weak-key', () => chain({ spki: rsaSpki(modulus2048, tlv(2, modulus2048)) })],
  ['explicit curve parameters in the leaf', 'algorithm', () => chain({ spki: ecSpki(explicitCurve, 32) })],
  [
    'explicit curve parameters in an intermediate',
    'algorithm',
    () => chain({}, { spki: ecSpki(explicitCurve, 32) }),
  ],
  ['a curve that is not of this house', 'algorithm', () => chain({ keys: ecKeys('secp256k1') })],
  [
    'an issuer whose point is on no curve',
    'signature',
    () => chain({}, { spki: ecSpki(oid('1.2.840.10045.3.1.7'), 32) }),
  ],
  // bombs
  ['a chain of 100', 'too-long', () => ladder(100)],
  [
    'one intermediate more than may be sent',
    'too-long',
    () => ({ ...chain({}), intermediates: Array.from({ length: 17 }, () => rsaRoot.der) }),
  ],
  ['a chain longer than is allowed', 'too-long', () => ladder(9)],
  ['two CAs that vouch for each other', 'no-path', () => loop(2, (at) => cn(`Loop ${at}`), true)],
  ['sixteen CAs in a ring', 'too-long', () => loop(16, (at) => cn(`Loop ${at}`), true)],
  ['sixteen CAs of one name and key identifier', 'too-much-work', () => loop(16, () => cn('Loop'), false)],
  ['more signatures than are verified', 'too-much-work', () => signatureBomb()],
  ['too many names under too many constraints', 'too-much-work', () => nameBomb()],
];

testHostile(hostile);
