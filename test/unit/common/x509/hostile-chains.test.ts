/** Chains that must not be trusted, though each certificate can be read: times, profiles, issuers, extensions. */
import { expect, test } from 'vitest';
import { integer, nothing, sequence, text, tlv } from '../../../harness/der-writer.ts';
import {
  anyPurpose,
  attribute,
  authorityKeyId,
  basicConstraints,
  clientAuth,
  cn,
  dns,
  extension,
  extKeyUsage,
  forgeCa,
  forgeLeaf,
  keyUsage,
  nameOf,
  noName,
  serverAuth,
} from '../../../harness/forged-certificate.ts';
import { type Chain, judgeChain } from '../../../harness/judged-chain.ts';
import {
  anchorWith,
  caWith,
  chain,
  constrained,
  good,
  issuing,
  ladder,
  leafWith,
  root,
  rsaRoot,
  testHostile,
} from '../../../harness/plant-chain.ts';

const noExtension = '1.3.6.1.4.1.55738.666.1';

const impostor = forgeCa({ subject: cn('Plant Root') });
const stolenKeyId = { extensions: { authorityKeyId: authorityKeyId(root.keyId) } };
const twoOus = nameOf([attribute('2.5.4.10', text(0x0c, 'Plant'))], [attribute('2.5.4.3', text(0x0c, 'CA'))]);
const oneRdn = nameOf([attribute('2.5.4.10', text(0x0c, 'Plant')), attribute('2.5.4.3', text(0x0c, 'CA'))]);

const hostile: readonly (readonly [string, string, () => Chain])[] = [
  // time
  ['an expired leaf', 'expired', () => chain({ until: '2026-10-31T23:59:59Z' })],
  ['a leaf of tomorrow', 'not-yet-valid', () => chain({ from: '2026-11-02T00:00:00Z' })],
  ['an expired intermediate', 'expired', () => chain({}, { until: '2026-10-01T00:00:00Z' })],
  ['an intermediate of tomorrow', 'not-yet-valid', () => chain({}, { from: '2026-11-02T00:00:00Z' })],
  ['an expired anchor', 'expired', () => chain({}, {}, { until: '2026-10-01T00:00:00Z' })],
  // what the leaf is for
  ['a leaf for serverAuth', 'extended-key-usage', () => leafWith({ extKeyUsage: extKeyUsage(serverAuth) })],
  ['a leaf for anything', 'extended-key-usage', () => leafWith({ extKeyUsage: extKeyUsage(anyPurpose) })],
  [
    'a leaf for clientAuth and anything',
    'extended-key-usage',
    () => leafWith({ extKeyUsage: extKeyUsage(clientAuth, anyPurpose) }),
  ],
  ['a leaf that does not say what for', 'extended-key-usage', () => leafWith({ extKeyUsage: null })],
  [
    'a leaf for serverAuth where none need say',
    'extended-key-usage',
    () => ({ ...leafWith({ extKeyUsage: extKeyUsage(serverAuth) }), limits: { requireClientAuth: false } }),
  ],
  ['a leaf that is a CA', 'leaf-profile', () => leafWith({ basicConstraints: basicConstraints(true) })],
  [
    'a leaf with keyCertSign',
    'leaf-profile',
    () => leafWith({ keyUsage: keyUsage('digitalSignature', 'keyCertSign') }),
  ],
  [
    'a leaf without digitalSignature',
    'leaf-profile',
    () => leafWith({ keyUsage: keyUsage('keyEncipherment', 'keyAgreement') }),
  ],
  [
    'a leaf with a path length',
    'leaf-profile',
    () => leafWith({ basicConstraints: basicConstraints(false, 3) }),
  ],
  ['a leaf with name constraints', 'name-constraints', () => chain(constrained([dns('plant.example')]))],
  // what the issuer may
  [
    'an intermediate for serverAuth alone',
    'extended-key-usage',
    () => caWith({ extKeyUsage: extKeyUsage(serverAuth) }),
  ],
  [
    'an intermediate without the CA bit',
    'not-a-ca',
    () => caWith({ basicConstraints: basicConstraints(false) }),
  ],
  ['an intermediate without basicConstraints', 'not-a-ca', () => caWith({ basicConstraints: null })],
  [
    'an intermediate whose CA bit is not critical',
    'extension-criticality',
    () => caWith({ basicConstraints: basicConstraints(true, undefined, false) }),
  ],
  ['an intermediate without keyCertSign', 'key-usage', () => caWith({ keyUsage: keyUsage('cRLSign') })],
  ['an anchor without the CA bit', 'not-a-ca', () => anchorWith({ basicConstraints: null })],
  ['an anchor without keyCertSign', 'key-usage', () => anchorWith({ keyUsage: keyUsage('cRLSign') })],
  [
    'a path length of 0 above an intermediate',
    'path-length',
    () => anchorWith({ basicConstraints: basicConstraints(true, 0) }),
  ],
  [
    'a path length of 0 within the path',
    'path-length',
    () =>
      ladder(3, (at) => (at === 0 ? { extensions: { basicConstraints: basicConstraints(true, 1) } } : {})),
  ],
  [
    'a device that issues',
    'not-a-ca',
    () => ({
      leaf: forgeLeaf({ subject: cn('pump-8') }, good).der,
      intermediates: [good.der, issuing.der],
      anchors: [root.der],
    }),
  ],
  [
    'an intermediate of version 1',
    'version',
    () => {
      const ca = forgeCa(
        { subject: cn('Old'), version: Buffer.alloc(0), wrapExtensions: () => Buffer.alloc(0) },
        root,
      );
      return { leaf: forgeLeaf({}, ca).der, intermediates: [ca.der], anchors: [root.der] };
    },
  ],
  [
    'a leaf of version 1',
    'version',
    () => chain({ version: Buffer.alloc(0), wrapExtensions: () => Buffer.alloc(0) }),
  ],
  // who issued
  [
    'an impostor of the anchor, by its own key',
    'no-path',
    () => ({ leaf: forgeLeaf({}, impostor).der, anchors: [root.der] }),
  ],
  [
    'an impostor that claims the anchor’s key',
    'signature',
    () => ({ leaf: forgeLeaf(stolenKeyId, impostor).der, anchors: [root.der] }),
  ],
  [
    'the impostor sent along',
    'no-path',
    () => ({ leaf: forgeLeaf({}, impostor).der, intermediates: [impostor.der], anchors: [root.der] }),
  ],
  [
    'another root',
    'no-path',
    () => ({ leaf: good.der, intermediates: [issuing.der], anchors: [rsaRoot.der] }),
  ],
  ['the intermediate left out', 'no-path', () => ({ leaf: good.der, anchors: [root.der] })],
  [
    'no anchor at all',
    'no-path',
    () => ({ leaf: good.der, intermediates: [issuing.der, root.der], anchors: [] }),
  ],
  [
    'a self-signed leaf with a trusted name',
    'self-issued-leaf',
    () => ({ leaf: forgeLeaf({ subject: root.subject }, null).der, anchors: [root.der] }),
  ],
  [
    'a self-signed leaf with a trusted name and key identifier',
    'self-issued-leaf',
    () => ({ leaf: forgeLeaf({ subject: root.subject, ...stolenKeyId }, null).der, anchors: [root.der] }),
  ],
  ['the anchor as a leaf', 'leaf-is-anchor', () => ({ leaf: root.der, anchors: [root.der] })],
  [
    'a leaf that was registered as an anchor',
    'leaf-is-anchor',
    () => ({ leaf: good.der, anchors: [good.der] }),
  ],
  [
    'a device registered as an anchor',
    'not-a-ca',
    () => ({ leaf: forgeLeaf({ subject: cn('pump-8') }, good).der, anchors: [good.der] }),
  ],
  [
    'two attributes in one RDN for two RDNs',
    'no-path',
    () => {
      const one = forgeCa({ subject: oneRdn }, root);
      return { leaf: forgeLeaf({ issuer: twoOus }, one).der, intermediates: [one.der], anchors: [root.der] };
    },
  ],
  ['a signature of zeros', 'signature', () => chain({ signature: Buffer.alloc(70) })],
  ['an empty signature', 'signature', () => chain({ signature: Buffer.alloc(0) })],
  ['an empty issuer', 'empty-name', () => chain({ issuer: noName })],
  ['no authorityKeyIdentifier', 'key-identifier', () => leafWith({ authorityKeyId: null })],
  ['an intermediate without subjectKeyIdentifier', 'key-identifier', () => caWith({ subjectKeyId: null })],
  // extensions
  [
    'an unknown critical extension of the leaf',
    'unknown-critical-extension',
    () => leafWith({ odd: extension(noExtension, nothing, true) }),
  ],
  [
    'an unknown critical extension of the intermediate',
    'unknown-critical-extension',
    () => caWith({ odd: extension(noExtension, nothing, true) }),
  ],
  [
    'an unknown critical extension of the anchor',
    'unknown-critical-extension',
    () => anchorWith({ odd: extension(noExtension, nothing, true) }),
  ],
  [
    'a critical authorityKeyIdentifier',
    'extension-criticality',
    () => leafWith({ authorityKeyId: extension('2.5.29.35', sequence(tlv(0x80, issuing.keyId)), true) }),
  ],
  [
    'an explicit policy demanded',
    'policy-constraints',
    () => caWith({ policy: extension('2.5.29.36', sequence(tlv(0x80, Buffer.from([0]))), true) }),
  ],
  ['a negative serial number', 'serial-number', () => chain({ serial: tlv(2, Buffer.from([0x80, 1])) })],
  ['a serial number of zero', 'serial-number', () => chain({ serial: integer(0) })],
  ['a serial number of 21 octets', 'serial-number', () => chain({ serial: tlv(2, Buffer.alloc(21, 0x55)) })],
  [
    'a serial number of 160 bits, thus 21 octets',
    'serial-number',
    () => chain({ serial: integer(1n << 159n) }),
  ],
];

testHostile(hostile);

test('the chain from which the hostile ones are made is trusted', () => {
  expect(judgeChain(chain({})).word).toBe('trusted');
  expect(judgeChain({ leaf: good.der, intermediates: [issuing.der], anchors: [root.der] }).word).toBe(
    'trusted',
  );
  expect(judgeChain({ leaf: forgeLeaf({}, rsaRoot).der, anchors: [rsaRoot.der] }).word).toBe('trusted');
  expect(judgeChain(ladder(8)).word).toBe('trusted');
});
