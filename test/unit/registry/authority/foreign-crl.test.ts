/** CRLs of foreign CAs: read whole or not at all, believed only when they are the CA's own and in time, however large. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseTimestamp, systemClock } from '#common/clock.ts';
import { readCertificate } from '#common/x509/certificate.ts';
import {
  type CrlProblem,
  CrlRefused,
  judgeCrl,
  readCrl,
} from '../../../../registry/authority/foreign-crl.ts';
import { context, integer, octets, sequence, time, tlv } from '../../../harness/der-writer.ts';
import { cn, extension, forgeCa, keyUsage } from '../../../harness/forged-certificate.ts';
import { type CrlPlan, crlEntry, forgeCrl, reasonExtension } from '../../../harness/forged-crl.ts';

const forged = forgeCa({ subject: cn('Maker') });
const ca = readCertificate(forged.der);
const nowMs = parseTimestamp('2026-06-01T00:00:00Z');
const bound = 64 * 1024 * 1024;

async function problemOf(bytes: Buffer, last: bigint | null = null, of = ca): Promise<CrlProblem | null> {
  try {
    judgeCrl(await readCrl(bytes, bound), of, last, nowMs);
    return null;
  } catch (thrown) {
    if (thrown instanceof CrlRefused) return thrown.problem;
    throw thrown;
  }
}

test('what is listed is found with its reason, and nothing else is', async () => {
  const big = 0x8a_0000_0000_0000_0000_0000_0000_0000_0000_01n;
  const entries = [
    1n,
    crlEntry(0x80n),
    crlEntry(big, reasonExtension(6)),
    crlEntry(7n, extension('1.2.3', octets(), false)),
  ];
  const crl = await readCrl(forgeCrl(forged, { entries, number: 42n }), bound);
  expect([crl.count, crl.number]).toEqual([4, 42n]);
  expect(crl.reasonOf('01')).toBe('keyCompromise');
  expect(crl.reasonOf('80')).toBe('unspecified');
  expect(crl.reasonOf(big.toString(16))).toBe('certificateHold');
  expect(crl.reasonOf('07')).toBe('unspecified');
  for (const serial of ['00', '02', '0001', '8a', '']) expect(crl.reasonOf(serial)).toBeNull();
  expect([...crl.serials()]).toEqual(['01', '80', big.toString(16), '07']);
});

test('an empty one lists nothing', async () => {
  const crl = await readCrl(forgeCrl(forged), bound);
  expect([crl.count, crl.reasonOf('01')]).toEqual([0, null]);
});

const other = forgeCa({ subject: cn('Maker') });
const critical = extension('1.2.3.4', octets(), true);

test.each<[string, CrlPlan, CrlProblem | null]>([
  ['a good one', {}, null],
  ['past nextUpdate', { nextUpdate: '2026-05-01T00:00:00Z' }, 'expired'],
  ['of the future', { thisUpdate: '2026-06-01T01:00:00Z' }, 'not-yet-valid'],
  ['without nextUpdate', { nextUpdate: null }, 'no-next-update'],
  ['without a number', { number: null }, 'no-number'],
  ['of version 1', { version: null, number: null, keyId: null }, 'no-number'],
  ['of another name', { issuer: cn('Somebody') }, 'wrong-issuer'],
  ['of another key with the same name', { keyId: other.keyId }, 'wrong-issuer'],
  ['with a signature of nothing', { signature: Buffer.alloc(70, 1) }, 'signature'],
  ['a delta', { extensions: [extension('2.5.29.27', integer(1), true)] }, 'partial'],
  [
    'of an issuing point without a scope',
    { extensions: [extension('2.5.29.28', sequence(context(0, context(0, cn('x')))), true)] },
    null,
  ],
  [
    'of one for CAs only',
    { extensions: [extension('2.5.29.28', sequence(tlv(0x82, Buffer.from([0xff]))), true)] },
    'partial',
  ],
  [
    'an indirect one',
    { extensions: [extension('2.5.29.28', sequence(tlv(0x84, Buffer.from([0xff]))), true)] },
    'partial',
  ],
  ['with an unknown critical extension', { extensions: [critical] }, 'critical-extension'],
  ['with an entry that has one', { entries: [crlEntry(1n, critical)] }, 'critical-extension'],
  ['with an entry without a time', { entries: [sequence(integer(1n), octets())] }, 'malformed'],
  ['with an entry that is no sequence', { entries: [integer(1n)] }, 'malformed'],
  [
    'with a negative number',
    { number: null, extensions: [extension('2.5.29.20', tlv(2, Buffer.from([0x80])))] },
    'malformed',
  ],
])('%s: %s', async (_what, plan, problem) => {
  expect(await problemOf(forgeCrl(forged, plan))).toBe(problem);
});

test('one whose number was rolled back is refused, as after a restore of the CA; the same again is not', async () => {
  expect(await problemOf(forgeCrl(forged, { number: 4n }), 5n)).toBe('rolled-back');
  expect(await problemOf(forgeCrl(forged, { number: 5n }), 5n)).toBeNull();
});

test('the signature of another CA of the same name is not that of this one', async () => {
  expect(await problemOf(forgeCrl(other, { keyId: null }))).toBe('signature');
});

test('a CA whose key is not meant to sign CRLs has none', async () => {
  const mute = forgeCa({ subject: cn('Mute'), extensions: { keyUsage: keyUsage('keyCertSign') } });
  expect(await problemOf(forgeCrl(mute), null, readCertificate(mute.der))).toBe('signature');
});

test('half of a file is malformed wherever it is cut, and noise is no other error', async () => {
  const whole = forgeCrl(forged, { entries: [1n, 2n, 3n] });
  for (let at = 0; at < whole.length; at += 3)
    expect(await problemOf(whole.subarray(0, at))).toBe('malformed');
  expect(await problemOf(Buffer.concat([whole, Buffer.from([0])]))).toBe('malformed');
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const bytes = Buffer.from(whole);
      bytes[at] = bytes[at]! ^ change;
      expect(await problemOf(bytes)).not.toBeNull();
    }),
    { numRuns: 300 },
  );
});

test('one that is too large is not read', async () => {
  await expect(readCrl(forgeCrl(forged, { entries: [1n] }), 100)).rejects.toMatchObject({
    problem: 'too-large',
  });
});

test('a million entries are read within bounds of time and memory, the loop goes on, and a look-up costs nothing', async () => {
  const rest = time('2026-02-01T00:00:00Z');
  const shape = Buffer.concat([tlv(2, Buffer.alloc(12, 0x41)), rest]);
  const entry = sequence(shape);
  const all = Buffer.alloc(entry.length * 1_000_000, entry);
  for (let n = 0; n < 1_000_000; n++) all.writeUInt32BE(n, n * entry.length + 12);
  const bytes = forgeCrl(forged, { entries: [all] });
  let turns = 0;
  let longestMs = 0;
  let lastMs = systemClock.elapsed();
  const tick = () => {
    turns += 1;
    longestMs = Math.max(longestMs, systemClock.elapsed() - lastMs);
    lastMs = systemClock.elapsed();
    pending = setImmediate(tick);
  };
  let pending = setImmediate(tick);
  const crl = await readCrl(bytes, bound);
  clearImmediate(pending);
  expect(crl.count).toBe(1_000_000);
  expect(turns).toBeGreaterThan(20);
  // Generous for a shared machine; it takes some tens of milliseconds at a time.
  expect(longestMs).toBeLessThan(1000);
  const before = systemClock.elapsed();
  for (let n = 0; n < 1000; n++) {
    const serial = entry.subarray(4, 16).toString('hex');
    expect(crl.reasonOf(`${serial.slice(0, 16)}${(n * 997).toString(16).padStart(8, '0')}`)).toBe(
      'unspecified',
    );
  }
  expect(systemClock.elapsed() - before).toBeLessThan(500);
  expect(crl.reasonOf('41')).toBeNull();
});
