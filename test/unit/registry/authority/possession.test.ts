/** Challenges for the key of a CA: bounded, expiring, each good for one proof. */
import { sign } from 'node:crypto';
import { expect, test } from 'vitest';
import { readCertificate } from '#common/x509/certificate.ts';
import { certificatePem } from '#common/x509/pem.ts';
import {
  Challenges,
  challengeLifetimeMs,
  mostChallenges,
} from '../../../../registry/authority/possession.ts';
import { cn, forgeCa, forgeLeaf } from '../../../harness/forged-certificate.ts';
import { StillClock } from '../../../harness/still-clock.ts';

const ca = forgeCa({ subject: cn('Maker') });
const read = readCertificate(ca.der);
const startMs = 1_800_000_000_000;
const signed = (nonce: string) => ({
  signature: sign('sha256', Buffer.from(nonce), ca.keys.privateKey).toString('base64'),
});
const issued = (nonce: string, by = ca) => ({
  certificate: certificatePem(forgeLeaf({ subject: cn(nonce) }, by).der),
});

test('each proof is good once', () => {
  const challenges = new Challenges(new StillClock(startMs));
  for (const prove of [signed, issued]) {
    const { nonce } = challenges.open('acme');
    challenges.spend('acme', read, prove(nonce));
    expect(() => challenges.spend('acme', read, prove(nonce))).toThrow(/no open challenge/);
  }
});

test('a challenge expires', async () => {
  const clock = new StillClock(startMs);
  const challenges = new Challenges(clock);
  const { nonce } = challenges.open('acme');
  await clock.move(challengeLifetimeMs + 1);
  expect(() => challenges.spend('acme', read, signed(nonce))).toThrow(/no open challenge/);
});

test('beyond the most that are kept the oldest is void; a newer one of a name voids the older', () => {
  const challenges = new Challenges(new StillClock(startMs));
  const { nonce } = challenges.open('acme');
  for (let n = 0; n < mostChallenges; n++) challenges.open(`other-${n}`);
  expect(() => challenges.spend('acme', read, signed(nonce))).toThrow(/no open challenge/);
  const first = challenges.open('acme').nonce;
  challenges.open('acme');
  expect(() => challenges.spend('acme', read, signed(first))).toThrow(/not of this key/);
});

test('neither both proofs, nor none, nor one of another CA with the same name', () => {
  const challenges = new Challenges(new StillClock(startMs));
  const { nonce } = challenges.open('acme');
  const double = forgeCa({ subject: cn('Maker') });
  expect(() => challenges.spend('acme', read, {})).toThrow(/either a certificate or a signature/);
  expect(() => challenges.spend('acme', read, { ...signed(nonce), ...issued(nonce) })).toThrow(/either/);
  expect(() => challenges.spend('acme', read, issued(nonce, double))).toThrow(/not signed by this CA/);
  expect(() => challenges.spend('acme', read, issued(nonce.toUpperCase()))).toThrow(
    /CN of the certificate is not the nonce/,
  );
  challenges.spend('acme', read, issued(nonce));
});
