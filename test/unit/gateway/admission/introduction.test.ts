/** Strangers at the door: only a valid chain reaches the registry, and what a flood of others costs has bounds. */
import { expect, test } from 'vitest';
import type { Directory, DirectoryEntry, IssuerEntry } from '#common/contract/directory.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { certificatePem } from '#common/x509/pem.ts';
import { Introduction } from '../../../../gateway/admission/introduction.ts';
import type { Peer } from '../../../../gateway/door/peer.ts';
import { cn, type Forged, forgeCa, forgeLeaf } from '../../../harness/forged-certificate.ts';
import { StillClock } from '../../../harness/still-clock.ts';

const own = forgeCa({ subject: cn('Ours') });
const maker = forgeCa({ subject: cn('Maker') });
const factory = forgeCa({ subject: cn('Factory') });
const issuer = (id: string, of: Forged, change: Partial<IssuerEntry>): IssuerEntry => ({
  id,
  kind: 'foreign',
  state: 'active',
  certificate: certificatePem(of.der),
  fleet: 'plant' as IssuerEntry['fleet'],
  mode: 'jit',
  statusUntilMs: null,
  ...change,
});

/** A door with a registry that counts, and answers as it is told. */
function open(limits: object = {}, answer: () => Promise<DirectoryEntry> = async () => entry) {
  const clock = new StillClock(1_780_000_000_000);
  const issuers = [
    issuer('issuing', own, { kind: 'own', mode: null, fleet: null }),
    issuer('maker', maker, {}),
    issuer('factory', factory, { mode: 'enroll-only' }),
  ];
  const known = new Map<string, DirectoryEntry>();
  const asked: (readonly string[])[] = [];
  const introduction = new Introduction({
    directory: {
      issuers: () => [...issuers],
      find: (fingerprint: string) => known.get(fingerprint),
    } as unknown as Directory,
    ask: (async (_kind: 'introduce', { chain }: { chain: readonly string[] }) => {
      asked.push(chain);
      return answer();
    }) as unknown as AskRegistry,
    limits: { maxIntroductions: 200, introductionTimeout: 10_000, strangersPerAddress: 1000, ...limits },
    clock,
  });
  const find = (leaf: Forged, { resumed = false, address = '192.0.2.1:5' } = {}) => {
    const peer: Peer = { address, fingerprint: fingerprintOf(leaf.der), resumed, tlsVersion: 'TLSv1.3' };
    return introduction.find(peer, [leaf.der]);
  };
  return { introduction, find, asked, clock, issuers, known };
}
const entry = { fleet: 'plant', device: 'pump-7' } as unknown as DirectoryEntry;
const wordOf = ({ pathFault, fault }: { pathFault: Fault | null; fault: Fault | null }) =>
  (pathFault ?? fault)?.kind ?? null;

test('a chain that leads to an anchor is introduced, and its entry is known at once', async () => {
  const { find, asked } = open();
  const finding = await find(forgeLeaf({}, maker));
  expect([wordOf(finding), finding.entry]).toEqual([null, entry]);
  expect(asked.length).toBe(1);
});

test.each([
  ['of nobody', () => forgeLeaf({}, forgeCa({ subject: cn('Nobody') })), 'untrusted-certificate'],
  [
    'forged with the name of the anchor',
    () => forgeLeaf({}, forgeCa({ subject: cn('Maker') })),
    'untrusted-certificate',
  ],
  ['of our own issuer, not recorded', () => forgeLeaf({}, own), 'unknown-certificate'],
  [
    'of an anchor for enrollment alone',
    () => forgeLeaf({ extensions: { extKeyUsage: null } }, factory),
    'enrollment-only',
  ],
  ['expired', () => forgeLeaf({ until: '2026-02-01T00:00:00Z' }, maker), 'certificate-expired'],
  ['without clientAuth', () => forgeLeaf({ extensions: { extKeyUsage: null } }, maker), 'leaf-profile'],
])('one %s never reaches the registry: %s', async (_what, make, word) => {
  const { find, asked } = open();
  expect(wordOf(await find(make()))).toBe(word);
  expect(asked).toEqual([]);
});

test('a resumed session has no chain: it is not looked at', async () => {
  const { find, asked } = open();
  expect(wordOf(await find(forgeLeaf({}, maker), { resumed: true }))).toBe('unknown-certificate');
  expect(asked).toEqual([]);
});

test('a refusal of the registry is remembered for seconds; that it is away is not', async () => {
  let fault = new Fault('mapping-failed', 'no rule');
  const { find, asked, clock } = open({}, () => Promise.reject(fault));
  const leaf = forgeLeaf({}, maker);
  for (let n = 0; n < 3; n++) expect(wordOf(await find(leaf))).toBe('mapping-failed');
  expect(asked.length).toBe(1);
  await clock.move(5_001);
  fault = new Fault('unavailable', 'away');
  for (let n = 0; n < 3; n++) expect(wordOf(await find(leaf))).toBe('unavailable');
  expect(asked.length).toBe(4);
});

test('what was refused before an anchor came is looked at again', async () => {
  const { find, issuers } = open();
  const late = forgeCa({ subject: cn('Late') });
  const leaf = forgeLeaf({}, late);
  expect(wordOf(await find(leaf))).toBe('untrusted-certificate');
  issuers.push(issuer('late', late, {}));
  expect(wordOf(await find(leaf))).toBeNull();
});

test('two connections of one certificate are one introduction', async () => {
  const { find, asked } = open();
  const leaf = forgeLeaf({}, maker);
  expect((await Promise.all([find(leaf), find(leaf)])).map(wordOf)).toEqual([null, null]);
  expect(asked.length).toBe(1);
});

test('no more than so many are under way at once', async () => {
  const { find } = open({ maxIntroductions: 2 }, () => new Promise(() => {}));
  const [one, two] = [find(forgeLeaf({}, maker)), find(forgeLeaf({}, maker))];
  expect(wordOf(await find(forgeLeaf({}, maker)))).toBe('unavailable');
  expect(await Promise.race([one, two, Promise.resolve('waiting')])).toBe('waiting');
});

test('a registry that does not answer in time is away', async () => {
  const { find, clock } = open({ introductionTimeout: 3_000 }, () => new Promise(() => {}));
  const finding = find(forgeLeaf({}, maker));
  await clock.move(3_000);
  expect(wordOf(await finding)).toBe('unavailable');
});

test('an address brings so many strangers a second, then it has to wait; others do not', async () => {
  const { find } = open({ strangersPerAddress: 2 });
  const nobody = forgeCa({ subject: cn('Nobody') });
  const words: (string | null)[] = [];
  for (let n = 0; n < 6; n++) words.push(wordOf(await find(forgeLeaf({}, nobody))));
  expect(words).toEqual([...Array(4).fill('untrusted-certificate'), 'connection-rate', 'connection-rate']);
  expect(wordOf(await find(forgeLeaf({}, maker), { address: '[2001:db8::1]:7' }))).toBeNull();
});

test('one whose state has run out is asked for again, by its leaf alone', async () => {
  const { introduction, find, asked, known, clock } = open();
  const leaf = forgeLeaf({}, maker);
  const fingerprint = fingerprintOf(leaf.der);
  const stale = { ...entry, certificateState: 'issued', statusUntilMs: clock.now() - 1 } as DirectoryEntry;
  const peer = { address: '192.0.2.1:5', fingerprint, resumed: true, tlsVersion: 'TLSv1.3' };
  known.set(fingerprint, stale);
  expect(introduction.isKnown(peer, stale)).toBe(false);
  expect(wordOf(await find(leaf, { resumed: true }))).toBeNull();
  expect(asked[0]).toEqual([leaf.der.toString('base64')]);
  expect(introduction.isKnown(peer, { ...stale, statusUntilMs: clock.now() })).toBe(true);
});
