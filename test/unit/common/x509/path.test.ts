/** Paths that hold, and what is said of them; mutations of good chains, which never do. */
import { constants, generateKeyPairSync, sign } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { faultKinds } from '#common/fault.ts';
import { readCertificate } from '#common/x509/certificate.ts';
import { readDer } from '#common/x509/der.ts';
import { validatePath } from '#common/x509/path.ts';
import { chainProblemFault } from '#common/x509/path-fault.ts';
import { pathProblems } from '#common/x509/path-problem.ts';
import { bits, sequence, text, tlv } from '../../../harness/der-writer.ts';
import {
  altNames,
  attribute,
  basicConstraints,
  cn,
  directory,
  dns,
  ecKeys,
  email,
  extKeyUsage,
  forgeCa,
  forgeLeaf,
  ip,
  type Keys,
  nameConstraints,
  nameOf,
  otherName,
  type Plan,
  rsaKeys,
  serverAuth,
  uri,
} from '../../../harness/forged-certificate.ts';
import { judgeChain } from '../../../harness/judged-chain.ts';
import {
  chain,
  constrained,
  good,
  issuing,
  leafWith,
  named,
  root,
  rsaRoot,
} from '../../../harness/plant-chain.ts';

const trusts = (leaf: Plan, ca: Plan = {}) => expect(judgeChain(chain(leaf, ca)).word).toBe('trusted');

test('the answer holds the path, its anchor, and when its first certificate ends', () => {
  const { leaf, intermediates, anchors } = chain({}, { until: '2030-01-01T00:00:00Z' });
  const outcome = judgeChain({
    leaf,
    intermediates: [...intermediates!, rsaRoot.der],
    anchors: [rsaRoot.der, ...anchors],
  }).outcome;
  if (!outcome?.trusted) throw new Error('it must be trusted');
  expect(outcome.path.map(({ der }) => der.toString('hex'))).toEqual(
    [leaf, intermediates![0]!, anchors[0]!].map((der) => der.toString('hex')),
  );
  expect(outcome.anchor.der.equals(anchors[0]!)).toBe(true);
  expect(outcome.notAfterMs).toBe(Date.parse('2030-01-01T00:00:00Z'));
});

const signers: readonly (readonly [string, () => Keys])[] = [
  ['P-256', () => ecKeys('P-256')],
  ['P-384', () => ecKeys('P-384')],
  ['P-521', () => ecKeys('P-521')],
  ['Ed25519', () => generateKeyPairSync('ed25519')],
  ['RSA 4096', () => rsaKeys(4096)],
  ['ML-DSA-44', () => generateKeyPairSync('ml-dsa-44')],
  ['ML-DSA-65', () => generateKeyPairSync('ml-dsa-65')],
  ['ML-DSA-87', () => generateKeyPairSync('ml-dsa-87')],
];
test.each(signers)('%s keys, all the way', (_name, keys) => {
  trusts({ keys: keys() }, { keys: keys() });
});

test('RSASSA-PSS with a salt as long as its hash', () => {
  const parameters =
    '304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120';
  const identifier = Buffer.from(parameters, 'hex');
  const unsigned = forgeLeaf({ signing: { identifier, hash: 'sha256' } }, rsaRoot);
  const tbs = readDer(unsigned.der).items[0]!.der;
  const signature = sign('sha256', tbs, {
    key: rsaRoot.keys.privateKey,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: 32,
  });
  const anchors = [rsaRoot.der];
  expect(judgeChain({ leaf: sequence(tbs, identifier, bits(signature)), anchors }).word).toBe('trusted');
  expect(judgeChain({ leaf: unsigned.der, anchors }).word).toBe('signature');
});

test('anchors of one name and different keys are told apart, with key identifiers and without', () => {
  const subject = cn('Maker CA');
  const [one, two, three] = [forgeCa({ subject }), forgeCa({ subject }), forgeCa({ subject })];
  const anchors = [one!.der, two!.der, three!.der];
  const outcome = judgeChain({ leaf: forgeLeaf({}, three!).der, anchors }).outcome;
  expect(outcome?.trusted && outcome.anchor.der.equals(three!.der)).toBe(true);
  // With one key identifier for all, the signature alone decides.
  const alike = [0, 1, 2].map(() =>
    forgeCa({ subject, extensions: { authorityKeyId: null, subjectKeyId: forgeKeyId } }),
  );
  const leaf = forgeLeaf({ extensions: { authorityKeyId: forgeAuthority } }, alike[1]!);
  const found = judgeChain({ leaf: leaf.der, anchors: alike.map(({ der }) => der) }).outcome;
  expect(found?.trusted && found.anchor.der.equals(alike[1]!.der)).toBe(true);
});
const forgeKeyId = Buffer.from('301d0603551d0e0416041411111111111111111111111111111111111111' + '11', 'hex');
const forgeAuthority = Buffer.from(`301f0603551d23041830168014${'11'.repeat(20)}`, 'hex');

test('an intermediate may be the anchor, and its root is then not asked for', () => {
  expect(judgeChain({ leaf: good.der, intermediates: [root.der], anchors: [issuing.der] }).word).toBe(
    'trusted',
  );
});

test('as many intermediates as may be sent are looked through, in any order', () => {
  const useless = Array.from({ length: 15 }, (_, at) => forgeCa({ subject: cn(`Other ${at}`) }).der);
  const intermediates = [...useless, issuing.der];
  expect(judgeChain({ leaf: good.der, intermediates, anchors: [root.der] }).word).toBe('trusted');
});

test('an expired way is passed over when another holds', () => {
  const other = forgeCa({ subject: cn('Old Root'), until: '2026-10-01T00:00:00Z' });
  const crossed = forgeCa({ subject: issuing.subject, keys: issuing.keys }, other);
  const intermediates = [crossed.der, issuing.der];
  expect(judgeChain({ leaf: good.der, intermediates, anchors: [other.der, root.der] }).word).toBe('trusted');
});

test('a leaf that does not say what for may enroll where that is allowed', () => {
  const limits = { requireClientAuth: false };
  expect(judgeChain({ ...leafWith({ extKeyUsage: null }), limits }).word).toBe('trusted');
  expect(judgeChain({ ...leafWith({ extKeyUsage: extKeyUsage(serverAuth) }), limits }).word).toBe(
    'extended-key-usage',
  );
});

test('names within constraints of each type pass', () => {
  trusts(named(dns('a.b.plant.example')), constrained([dns('plant.example')], [dns('c.plant.example')]));
  trusts(named(dns('*.plant.example')), constrained([dns('plant.example')], [dns('other.example')]));
  trusts(named(dns('a.example')), constrained([dns('')]));
  trusts({}, constrained([uri('plant.example')]));
  trusts(named(uri('coap://x.plant.example:5684/a')), constrained([uri('.plant.example')]));
  trusts(
    named(email('Ops@plant.example')),
    constrained([email('plant.example')], [email('ops@plant.example')]),
  );
  trusts(named(email('ops@a.plant.example')), constrained([email('.plant.example')]));
  trusts(named(ip('c00002fe')), constrained([ip('c0000200ffffff00')], [ip('c0000300ffffff00')]));
  const printed = nameOf(
    [attribute('2.5.4.10', text(0x13, 'PLANT   Water'))],
    [attribute('2.5.4.3', text(0x0c, 'x'))],
  );
  const written = nameOf([attribute('2.5.4.10', text(0x0c, 'plant water'))]);
  trusts({ subject: printed }, constrained([directory(written)]));
  trusts(named(dns('a.example')), constrained([], [otherName('1.2.3', tlv(5))]));
});

test('a CA that issued to itself is not counted, and not bound by names', () => {
  const subject = cn('Plant Root');
  const top = forgeCa({ subject, extensions: { basicConstraints: basicConstraints(true, 0) } });
  const next = forgeCa({ subject }, top);
  const chained = { leaf: forgeLeaf({}, next).der, intermediates: [next.der], anchors: [top.der] };
  expect(judgeChain(chained).word).toBe('trusted');
  expect(judgeChain({ ...chained, limits: { maxDepth: 0 } }).word).toBe('trusted');
  const bound = forgeCa({ subject, extensions: { nc: nameConstraints([dns('plant.example')]) } });
  const self = forgeCa({ subject, extensions: { altNames: altNames([dns('other.example')]) } }, bound);
  expect(
    judgeChain({ leaf: forgeLeaf({}, self).der, intermediates: [self.der], anchors: [bound.der] }).word,
  ).toBe('trusted');
});

test('every problem is a fault that a door knows, with its word', () => {
  for (const problem of pathProblems) {
    const fault = chainProblemFault({ problem, detail: 'a certificate is odd' });
    expect(faultKinds).toContain(fault.kind);
    expect(fault.fields).toEqual({ problem });
    expect(fault.message).toContain(problem);
  }
  expect(chainProblemFault({ problem: 'expired', detail: '' }).kind).toBe('certificate-expired');
  expect(chainProblemFault({ problem: 'not-a-ca', detail: '' }).kind).toBe('untrusted-certificate');
});

/** Bits turned, bytes put in, bytes taken out, ends cut off. */
const mutation = fc.oneof(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    flip: fc.integer({ min: 1, max: 255 }),
  }),
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    insert: fc.uint8Array({ minLength: 1, maxLength: 8 }),
  }),
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    remove: fc.integer({ min: 1, max: 300 }),
  }),
  fc.record({ cut: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }) }),
);
type Mutation = typeof mutation extends fc.Arbitrary<infer Value> ? Value : never;

function mutate(der: Buffer, how: Mutation): Buffer {
  if ('cut' in how) return der.subarray(0, Math.floor(how.cut * der.length));
  const at = Math.floor(how.at * der.length);
  if ('insert' in how) return Buffer.concat([der.subarray(0, at), how.insert, der.subarray(at)]);
  if ('remove' in how) return Buffer.concat([der.subarray(0, at), der.subarray(at + how.remove)]);
  const copy = Buffer.from(der);
  copy[at] = copy[at]! ^ how.flip;
  return copy;
}

const whole = chain(
  {
    extensions: {
      altNames: altNames([uri('spiffe://plant.example/a'), dns('a.plant.example'), ip('c0000201')]),
    },
  },
  { extensions: { nc: nameConstraints([dns('plant.example'), directory(cn('pump-7'))]) } },
);

test('no mutation of a certificate of the chain is trusted, and none throws anything but its fault', () => {
  expect(judgeChain(whole).word).toBe('trusted');
  fc.assert(
    fc.property(fc.boolean(), fc.array(mutation, { minLength: 1, maxLength: 3 }), (ofLeaf, hows) => {
      const before = ofLeaf ? whole.leaf : whole.intermediates![0]!;
      const after = hows.reduce(mutate, before);
      fc.pre(!after.equals(before));
      // judgeChain throws on whatever is not the fault of a reader.
      const judged = judgeChain(ofLeaf ? { ...whole, leaf: after } : { ...whole, intermediates: [after] });
      expect(judged.word).not.toBe('trusted');
    }),
    { numRuns: 2500 },
  );
}, 60_000);

test('bytes at random are read as nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2048 }), (bytes) => {
      expect(judgeChain({ leaf: Buffer.from(bytes), anchors: [root.der] }).word).toMatch(/^malformed: /);
    }),
  );
});

test('a mutated anchor with the same name and key is the same anchor: its signature is not what is trusted', () => {
  const anchor = readCertificate(root.der);
  const leaf = readCertificate(forgeLeaf({}, root).der);
  const nowMs = Date.parse('2026-11-01T00:00:00Z');
  const resigned = readCertificate(
    forgeCa({ subject: root.subject, keys: root.keys, signature: Buffer.alloc(8) }).der,
  );
  expect(validatePath({ leaf, intermediates: [], anchors: [anchor], nowMs }).trusted).toBe(true);
  expect(validatePath({ leaf, intermediates: [], anchors: [resigned], nowMs }).trusted).toBe(true);
});
