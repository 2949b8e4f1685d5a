/** The decision journal: what it keeps under floods, and what it finds and tells. */
import { expect, test } from 'vitest';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { FaultKind } from '#common/fault.ts';
import type { Fingerprint } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import type { Arrival } from '../../../../gateway/admission/admit.ts';
import { Journal } from '../../../../gateway/admission/journal.ts';
import { wordsOfFailure } from '../../../../gateway/door/handshake-failure.ts';
import { forgeCa, forgeLeaf } from '../../../harness/forged-certificate.ts';

const ca = forgeCa({});
const leaf = forgeLeaf({}, ca).der;

const arrival = (address: string, device: string | null, fingerprint = fingerprintOf(leaf)): Arrival => ({
  peer: { address, fingerprint, resumed: false, tlsVersion: 'TLSv1.3' },
  entry:
    device === null
      ? undefined
      : ({ device, fleet: 'plant', issuer: 'own', serialNumber: '0badcafe', fingerprint } as DirectoryEntry),
  finding: undefined,
  issuer: undefined,
  terms: undefined,
  clientId: 'pump-1',
  severalSessions: false,
  lagMs: 0,
  maxLagMs: 1000,
  nowMs: 0,
});

let timeMs = 1_700_000_000_000;
const refuse = (journal: Journal, address: string, device: string | null, reason: FaultKind) =>
  journal.add({
    what: 'arrival',
    timeMs: timeMs++,
    protocol: 'mqtt5',
    arrival: arrival(address, device),
    reason,
    beyond: null,
    leaf,
  });
const admitOne = (journal: Journal, device: string) =>
  journal.add({
    what: 'arrival',
    timeMs: timeMs++,
    protocol: 'mqtt5',
    arrival: arrival('192.0.2.1:1', device),
    reason: null,
    beyond: null,
    leaf: null,
  });
const fail = (journal: Journal, address: string, code: string, spoke = true) =>
  journal.addFailure({
    what: 'failure',
    timeMs: timeMs++,
    protocol: 'mqtt',
    failure: { address, code, late: false, spoke, leaf: null },
  });

test('a flood of strangers from one address leaves what is known of devices and of other strangers', () => {
  const journal = new Journal('g', 1000);
  refuse(journal, '192.0.2.1:1', 'pump-1', 'issuer-not-trusted');
  refuse(journal, '192.0.2.9:1', null, 'unknown-certificate');
  fail(journal, '198.51.100.1:7', 'ERR_SSL_NO_SHARED_CIPHER');
  for (let n = 0; n < 20_000; n++) {
    refuse(journal, `198.51.100.1:${n}`, null, 'unknown-certificate');
    fail(journal, `198.51.100.1:${n}`, 'ECONNRESET', false);
  }
  expect(journal.find({ device: 'pump-1', reason: 'issuer-not-trusted' })).toHaveLength(1);
  expect(journal.find({ address: '192.0.2.9' })).toHaveLength(1);
  // Of the loud address too, each kind is kept by itself.
  const [cipher] = journal.find({ address: '198.51.100.1:7', reason: 'handshake-failed' }).slice(-1);
  expect(cipher?.message).toMatch(/cipher suite/);
  expect(journal.find({ limit: 1000 }).length).toBeLessThan(50);
});

test('a flood from many addresses leaves what is known of devices', () => {
  const journal = new Journal('g', 200);
  refuse(journal, '192.0.2.1:1', 'pump-1', 'certificate-revoked');
  for (let n = 0; n < 5000; n++) refuse(journal, `10.${n >> 8}.${n & 255}.1:1`, null, 'unknown-certificate');
  expect(journal.find({ reason: 'certificate-revoked' })).toHaveLength(1);
  expect(journal.find({ limit: 1000 }).length).toBeLessThanOrEqual(101);
});

test('a device that is refused again and again pushes out itself; admissions push out no refusal', () => {
  const journal = new Journal('g', 100);
  refuse(journal, '192.0.2.1:1', 'pump-1', 'device-disabled');
  for (let n = 0; n < 1000; n++) refuse(journal, '192.0.2.2:1', 'loud', 'certificate-revoked');
  for (let n = 0; n < 1000; n++) admitOne(journal, 'pump-2');
  expect(journal.find({ device: 'pump-1' })).toHaveLength(1);
  expect(journal.find({ device: 'loud' })).toHaveLength(4);
  expect(journal.find({ device: 'pump-2', limit: 1000 })).toHaveLength(100);
});

test('connections over a limit are one entry a second for each reason, with how many and from where', () => {
  const journal = new Journal('g', 100);
  for (let n = 0; n < 900; n++)
    journal.addTurnedAway(5_000_000 + n, 'mqtt', 'connection-rate', '198.51.100.1');
  journal.addTurnedAway(5_000_950, 'mqtt', 'connection-rate', '192.0.2.5');
  journal.addTurnedAway(5_001_200, 'mqtt', 'connection-rate', '192.0.2.5');
  const found = journal.find({ reason: 'connection-rate' });
  expect(found.map(({ count }) => count)).toEqual([1, 901]);
  expect(found[1]).toMatchObject({ address: '198.51.100.1', device: null, admitted: false });
  expect(found[1]!.message).toMatch(/901 within a second from 2 addresses, 900 of them from 198.51.100.1/);
  expect(journal.find({ address: '192.0.2.5' })).toHaveLength(2);
  // Every address on earth: the entry does not grow with them.
  for (let n = 0; n < 5000; n++)
    journal.addTurnedAway(9_000_000, 'mqtt', 'connection-limit', `10.0.${n >> 8}.${n & 255}`);
  expect(journal.find({ reason: 'connection-limit' })[0]).toMatchObject({ count: 5000 });
});

test('it is found by device, by whom it claims to be, by address, fingerprint, serial number and reason', () => {
  const journal = new Journal('g', 100);
  refuse(journal, '[2001:db8::7]:4711', null, 'unknown-certificate');
  refuse(journal, '[::ffff:192.0.2.1]:5', 'pump-2', 'device-disabled');
  const [stranger, known] = [journal.find({ device: 'pump-1' }), journal.find({ address: '192.0.2.1' })];
  expect(stranger).toMatchObject([{ device: null, clientId: 'pump-1' }]);
  expect(known).toMatchObject([{ device: 'pump-2' }]);
  expect(journal.find({ address: '2001:db8::7' })).toEqual(stranger);
  expect(journal.find({ address: '[2001:db8::7]:4711' })).toEqual(stranger);
  expect(journal.find({ fingerprint: fingerprintOf(leaf) })).toHaveLength(2);
  expect(journal.find({ serial: '0badcafe' })).toEqual(known);
  expect(journal.find({ serial: stranger[0]!.leaf!.serialNumber })).toEqual(stranger);
  expect(journal.find({ serial: '00' })).toEqual([]);
  expect(journal.find({ reason: 'certificate-held' })).toEqual([]);
});

test('the certificate of one that was refused is told: who, by whom, which, until when', () => {
  const journal = new Journal('g', 100);
  refuse(journal, '192.0.2.1:1', null, 'unknown-certificate');
  expect(journal.find({})[0]!.leaf).toMatchObject({
    subject: 'CN="pump-7"',
    issuer: 'CN="nobody"',
    notAfter: '2036-01-01T00:00:00.000Z',
    names: ['URI:spiffe://plant.example/fleet/water/device/pump-7'],
  });
});

test('of one that cannot be read it is told where', () => {
  const journal = new Journal('g', 100);
  const broken = Buffer.from(leaf);
  broken[broken.indexOf(Buffer.from('170d', 'hex'))] = 0x16;
  const peer = arrival('192.0.2.1:1', null, 'f'.repeat(64) as Fingerprint);
  journal.add({
    what: 'arrival',
    timeMs: 0,
    protocol: 'mqtt',
    arrival: peer,
    reason: 'certificate-malformed',
    beyond: null,
    leaf: broken,
  });
  expect(journal.find({})[0]).toMatchObject({
    leaf: null,
    leafProblem: expect.stringMatching(/^This certificate cannot be read: /),
  });
});

test.each([
  ['ERR_SSL_HTTP_REQUEST', 'plain-http'],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'not-tls'],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'distrust'],
  ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'distrust'],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'distrust'],
  ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'version'],
  ['ERR_SSL_NO_SHARED_CIPHER', 'cipher'],
  ['ERR_SSL_NO_SUITABLE_KEY_SHARE', 'group'],
  ['ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM', 'signature-algorithm'],
  ['ERR_SSL_NO_APPLICATION_PROTOCOL', 'alpn'],
  ['ERR_SSL_PROVIDER_SIGNATURE_FAILURE', 'possession'],
  ['ERR_SSL_EXCESSIVE_MESSAGE_SIZE', 'too-large'],
  ['ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR', 'alert'],
  ['ERR_SSL_UNEXPECTED_MESSAGE', 'other'],
  ['ECONNRESET', 'hung-up'],
])('of a handshake, %s means %s', (code, word) => {
  expect(wordsOfFailure({ address: '', code, late: false, spoke: true, leaf: null }).word).toBe(word);
});
