/** A CRL out of a registry's own file: the thread lists what is revoked or held and not long expired, and nothing else. */
import 'reflect-metadata';
import { X509Certificate as NodeCertificate, verify } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Crl } from '@peculiar/x509';
import Database from 'better-sqlite3';
import { afterAll, expect, test } from 'vitest';
import { buildCrl, type CrlTask } from '../../../../registry/ca/crl-build.ts';
import { DerReader } from '../../../../registry/ca/der-reader.ts';
import { keyTypes, makeTestIssuer, type TestIssuer } from '../../../harness/test-issuer.ts';

const dir = await mkdtemp(join(tmpdir(), 'crl-'));
afterAll(() => rm(dir, { recursive: true }));
const path = join(dir, 'registry.db');
const day = 86_400_000;
const nowMs = Math.floor(Date.now() / 1000) * 1000;

const db = new Database(path);
db.exec(`CREATE TABLE certificates (
  issuer TEXT NOT NULL, serial TEXT NOT NULL, state TEXT NOT NULL, revoked_ms INTEGER, reason TEXT, not_after_ms INTEGER NOT NULL,
  PRIMARY KEY (issuer, serial)
) STRICT;
CREATE INDEX certificates_revoked ON certificates (issuer, serial, revoked_ms, reason, not_after_ms)
  WHERE state IN ('revoked', 'held')`);
const insert = db.prepare('INSERT INTO certificates VALUES (?, ?, ?, ?, ?, ?)');
for (const row of [
  ['issuing', '4a05', 'revoked', nowMs - 5000, 'keyCompromise', nowMs + day],
  ['issuing', '4a03', 'revoked', nowMs - 3000, 'unspecified', nowMs + day],
  ['issuing', '4a01', 'issued', null, null, nowMs + day],
  ['issuing', '4a02', 'reserved', null, null, nowMs + day],
  ['issuing', '4a04', 'held', nowMs - 4000, 'certificateHold', nowMs + day],
  ['issuing', '4a06', 'revoked', nowMs - 6000, 'abandoned', nowMs - day],
  ['issuing', '4a07', 'revoked', nowMs - 7000, 'superseded', nowMs - 3 * day],
  ['other', '4a08', 'revoked', nowMs - 8000, 'superseded', nowMs + day],
])
  insert.run(...row);
db.close();

const taskOf = (issuer: TestIssuer, change: Partial<CrlTask> = {}): CrlTask => ({
  path,
  issuer: 'issuing',
  notAfterMs: nowMs - 2 * day,
  contents: {
    issuerName: issuer.identity.name,
    authorityKeyId: issuer.identity.keyId,
    number: 9n,
    thisUpdateMs: nowMs,
    nextUpdateMs: nowMs + day,
    algorithm: issuer.signer.algorithm.der,
  },
  ...change,
});
const patience = () => AbortSignal.timeout(10_000);

test('in the order of their numbers; those of others, those still good and those long expired are not there', async () => {
  const issuer = await makeTestIssuer('P-256');
  const { der, entries } = await buildCrl(taskOf(issuer), issuer.signer, patience());
  const listed = new X509Crl(der).entries.map(({ serialNumber, revocationDate, reason }) => [
    serialNumber,
    revocationDate.getTime(),
    reason,
  ]);
  expect(entries).toBe(4);
  expect(listed).toEqual([
    ['4a03', nowMs - 3000, undefined],
    ['4a04', nowMs - 4000, 6],
    ['4a05', nowMs - 5000, 1],
    ['4a06', nowMs - 6000, undefined],
  ]);
});

test.each(keyTypes)('its signature by %s verifies', async (type) => {
  const issuer = await makeTestIssuer(type);
  const { der } = await buildCrl(taskOf(issuer), issuer.signer, patience());
  const crl = new DerReader(der).enter(0x30);
  const tbs = crl.takeWhole(0x30);
  expect(crl.takeWhole(0x30)).toEqual(issuer.signer.algorithm.der);
  const signature = crl.take(0x03).subarray(1);
  crl.finish();
  const { publicKey } = new NodeCertificate(issuer.pem);
  expect(verify(issuer.signer.algorithm.digest, tbs, publicKey, signature)).toBe(true);
});

test('a file that is not there, and a thread that is too slow, are faults', async () => {
  const issuer = await makeTestIssuer('P-256');
  const nowhere = buildCrl(taskOf(issuer, { path: join(dir, 'nowhere.db') }), issuer.signer, patience());
  await expect(nowhere).rejects.toMatchObject({ kind: 'unavailable' });
  const late = buildCrl(taskOf(issuer), issuer.signer, AbortSignal.timeout(0));
  await expect(late).rejects.toMatchObject({ kind: 'timeout' });
});
