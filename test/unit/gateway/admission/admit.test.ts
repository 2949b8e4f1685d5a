/** Admission: the first check that fails decides, and what is not known is not let in. */
import { expect, test } from 'vitest';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import { Fault, type FaultKind } from '#common/fault.ts';
import { type Arrival, admit, refusalOf, scopeOf } from '../../../../gateway/admission/admit.ts';
import type { Finding } from '../../../../gateway/admission/finding.ts';

const nowMs = 1_800_000_000_000;
const entry = {
  fingerprint: 'f',
  device: 'pump-1',
  fleet: 'plant',
  certificateState: 'issued',
  deviceState: 'active',
  notBeforeMs: nowMs - 1000,
  notAfterMs: nowMs + 1000,
  issuer: 'issuing',
  statusUntilMs: null,
} as unknown as DirectoryEntry;
const peer = {
  address: '192.0.2.1:5',
  fingerprint: 'f',
  resumed: false,
  tlsVersion: 'TLSv1.3',
} as unknown as Arrival['peer'];
const arrival: Arrival = {
  peer,
  entry,
  issuer: { id: 'issuing', state: 'preferred', statusUntilMs: null } as unknown as Arrival['issuer'],
  terms: undefined,
  finding: undefined,
  clientId: 'pump-1',
  severalSessions: false,
  lagMs: 0,
  maxLagMs: 1000,
  nowMs,
};

test('a device whose every check passes is admitted, and each check is told', () => {
  const { fault, checks } = admit(arrival);
  expect(fault).toBeNull();
  expect(checks.length).toBeGreaterThanOrEqual(9);
  expect(checks.every(({ passed }) => passed)).toBe(true);
});

const with_ = (change: Partial<Arrival>) => ({ ...arrival, ...change });
const withPeer = (change: object) => with_({ peer: { ...peer, ...change }, entry: undefined });
const withFinding = (change: Partial<Finding>) =>
  with_({
    entry: undefined,
    finding: {
      path: 'of acme',
      pathFault: null,
      introduction: null,
      fault: null,
      entry: undefined,
      ...change,
    },
  });
const fault = (kind: FaultKind) => new Fault(kind, 'why');
const withEntry = (change: object) => with_({ entry: { ...entry, ...change } as DirectoryEntry });

test.each([
  ['no-certificate', withPeer({ fingerprint: null })],
  ['untrusted-certificate', withFinding({ pathFault: fault('untrusted-certificate') })],
  ['certificate-expired', withFinding({ pathFault: fault('certificate-expired') })],
  ['leaf-profile', withFinding({ pathFault: fault('leaf-profile') })],
  ['mapping-failed', withFinding({ introduction: 'no rule fits', fault: fault('mapping-failed') })],
  ['unknown-certificate', withFinding({})],
  ['directory-stale', with_({ lagMs: 1001 })],
  ['directory-stale', with_({ lagMs: Number.POSITIVE_INFINITY })],
  ['unknown-certificate', with_({ entry: undefined })],
  ['certificate-revoked', withEntry({ certificateState: 'revoked' })],
  ['certificate-revoked', withEntry({ certificateState: 'reserved' })],
  ['certificate-held', withEntry({ certificateState: 'held' })],
  ['issuer-not-trusted', with_({ issuer: undefined })],
  ['issuer-not-trusted', with_({ issuer: { state: 'removed' } as Arrival['issuer'] })],
  ['revocation-unknown', withEntry({ statusUntilMs: nowMs - 1 })],
  [
    'revocation-unknown',
    with_({ issuer: { state: 'active', statusUntilMs: nowMs - 1 } as Arrival['issuer'] }),
  ],
  ['device-pending', withEntry({ deviceState: 'pending' })],
  ['certificate-expired', withEntry({ notAfterMs: nowMs - 1 })],
  ['certificate-not-yet-valid', withEntry({ notBeforeMs: nowMs + 1 })],
  ['device-disabled', withEntry({ deviceState: 'disabled' })],
  ['device-revoked', withEntry({ deviceState: 'revoked' })],
  ['device-revoked', withEntry({ deviceState: 'deleted' })],
  ['client-id-mismatch', with_({ clientId: '' })],
  ['client-id-mismatch', with_({ clientId: 'pump-2' })],
  ['client-id-mismatch', with_({ clientId: 'pump-1/a' })],
  ['client-id-mismatch', with_({ clientId: 'pump-1/', severalSessions: true })],
  ['client-id-mismatch', with_({ clientId: 'pump-10', severalSessions: true })],
])('%s', (kind, refused) => {
  expect(refusalOf(refused)?.kind).toBe(kind);
  const { fault, checks } = admit(refused);
  expect(fault?.kind).toBe(kind);
  expect(checks.filter(({ passed }) => !passed)).toHaveLength(1);
  expect(checks.at(-1)!.passed).toBe(false);
});

test('several sessions have the device id and a suffix', () => {
  for (const clientId of ['pump-1', 'pump-1/a', 'pump-1:a'])
    expect(refusalOf(with_({ clientId, severalSessions: true }))).toBeNull();
  expect(refusalOf(with_({ clientId: null }))).toBeNull();
});

test('outside its validity a certificate is good for renewal, within grace and skew of its fleet', () => {
  const terms = { id: 'plant', graceMs: 5_000, skewMs: 3_000 } as unknown as Arrival['terms'];
  const at = (offsetMs: number) => ({ ...arrival, terms, nowMs: nowMs + offsetMs });
  expect(refusalOf(at(0))).toBeNull();
  expect(scopeOf(at(0))).toBe('whole');
  for (const offsetMs of [1_001, 6_000, -1_001, -4_000]) {
    expect(refusalOf(at(offsetMs))).toBeNull();
    expect(scopeOf(at(offsetMs))).toBe('renewal');
  }
  expect(refusalOf(at(6_001))?.kind).toBe('certificate-expired');
  expect(refusalOf(at(-4_001))?.kind).toBe('certificate-not-yet-valid');
});

test('what TLS thinks of the chain of a certificate that is recorded does not matter', () => {
  const late = { ...arrival, peer: { ...peer, chainError: 'CERT_HAS_EXPIRED', leafError: 'no EKU' } };
  expect(refusalOf(late)).toBeNull();
});
