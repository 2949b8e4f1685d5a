/** The delegate's certificate for every key type of the issuer, and its renewal: in time, again after a failure, never stale. */
import 'reflect-metadata';
import { createPublicKey, X509Certificate as NodeCertificate } from 'node:crypto';
import {
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate,
} from '@peculiar/x509';
import { expect, test } from 'vitest';
import { silentLog as log } from '#common/log.ts';
import { OcspDelegate, type OcspDelegateOptions } from '../../../../registry/ca/ocsp-delegate.ts';
import { eventually } from '../../../harness/eventually.ts';
import { StillClock } from '../../../harness/still-clock.ts';
import { keyTypes, makeTestIssuer, type TestIssuer } from '../../../harness/test-issuer.ts';

const day = 86_400_000;
const optionsOf = (issuer: TestIssuer, clock: StillClock, change: Partial<OcspDelegateOptions> = {}) => ({
  issuer: issuer.identity,
  issuerNotAfterMs: issuer.notAfterMs,
  signer: issuer.signer,
  record: async () => {},
  lifetimeMs: 9 * day,
  clock,
  log,
  ...change,
});

test.each(keyTypes)('under %s it may sign OCSP answers and nothing else', async (type) => {
  const issuer = await makeTestIssuer(type);
  const clock = new StillClock(Date.now());
  using delegate = await OcspDelegate.open(optionsOf(issuer, clock));
  const { certificate, notAfterMs } = delegate.current!;
  const read = new X509Certificate(certificate);
  const node = new NodeCertificate(certificate);
  const ca = new NodeCertificate(issuer.pem);
  expect(node.verify(ca.publicKey)).toBe(true);
  expect(node.checkIssued(ca)).toBe(true);
  expect(node.ca).toBe(false);
  expect(read.getExtension(ExtendedKeyUsageExtension)!.usages).toEqual(['1.3.6.1.5.5.7.3.9']);
  expect(read.getExtension(KeyUsagesExtension)!.usages).toBe(KeyUsageFlags.digitalSignature);
  expect(Buffer.from(read.getExtension('1.3.6.1.5.5.7.48.1.5')!.value).toString('hex')).toBe('0500');
  expect(read.notAfter.getTime()).toBe(notAfterMs);
  expect(notAfterMs - clock.now()).toBeGreaterThan(9 * day - 1001);
  expect(node.publicKey.equals(createPublicKey(delegate.current!.key))).toBe(true);
});

test('it is renewed after two thirds of its life', async () => {
  const clock = new StillClock(Date.now());
  using delegate = await OcspDelegate.open(optionsOf(await makeTestIssuer('P-256'), clock));
  const first = delegate.current!;
  await clock.move(6 * day - 2000);
  expect(delegate.current).toBe(first);
  await clock.move(4000);
  await eventually(() => expect(delegate.current).not.toBe(first));
  expect(delegate.current!.notAfterMs).toBeGreaterThan(first.notAfterMs);
});

test('it does not outlive its issuer', async () => {
  const issuer = await makeTestIssuer('P-256');
  const issuerNotAfterMs = Math.floor(Date.now() / 1000) * 1000 + day;
  using delegate = await OcspDelegate.open(
    optionsOf(issuer, new StillClock(Date.now()), { issuerNotAfterMs }),
  );
  expect(delegate.current!.notAfterMs).toBe(issuerNotAfterMs);
});

test('while the issuer cannot sign it tries again, and there is none rather than one that has expired', async () => {
  const issuer = await makeTestIssuer('P-256');
  const clock = new StillClock(Date.now());
  let broken = false;
  const sign = (tbs: Buffer) => (broken ? Promise.reject(new Error('gone')) : issuer.signer.sign(tbs));
  using delegate = await OcspDelegate.open(optionsOf(issuer, clock, { signer: { ...issuer.signer, sign } }));
  broken = true;
  await clock.move(9 * day);
  expect(delegate.current).toBeNull();
  broken = false;
  await clock.move(60_000);
  await eventually(() => expect(delegate.current!.notAfterMs).toBeGreaterThan(clock.now()));
});
