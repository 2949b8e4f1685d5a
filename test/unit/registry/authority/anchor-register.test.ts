/** Anchors in memory: who is trusted, and which CAs below them are remembered, within a bound and over a restart. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import { certificatePem } from '#common/x509/pem.ts';
import {
  AnchorRegister,
  documentOf,
  judgeStanding,
  mostSeen,
} from '../../../../registry/authority/anchor-register.ts';
import { defaultTemplate, noRevocation } from '../../../../registry/authority/anchor-terms.ts';
import { keyTag } from '../../../../registry/authority/foreign-path.ts';
import { Store } from '../../../../registry/store/store.ts';
import { cn, forgeCa, forgeLeaf } from '../../../harness/forged-certificate.ts';

let dir: string;
let store: Store;
const root = forgeCa({ subject: cn('Maker') });
const terms = {
  mapping: [{ from: 'commonName' as const }],
  template: defaultTemplate,
  revocation: noRevocation,
  intermediates: '',
};
const leaf = forgeLeaf({}, root);

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'register-'));
  store = Store.open(dir);
  const row = {
    id: 'maker',
    kind: 'foreign' as const,
    state: 'active' as const,
    name: 'maker',
    certificate: certificatePem(root.der),
    fleet: 'plant',
    mode: 'jit' as const,
    document: documentOf(terms),
    status_until_ms: null,
    crl_number: 0,
    created_ms: 0,
  };
  await store.writer.write((write) => write.insertInto('issuers').values(row).execute());
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const below = (count: number): Certificate[] =>
  Array.from({ length: count }, (_, n) => readCertificate(forgeCa({ subject: cn(`line ${n}`) }, root).der));

test('what devices have shown is remembered, over a restart too, and no more than so much', async () => {
  const register = await AnchorRegister.open(store.read, store.writer);
  const [first, ...others] = below(mostSeen);
  const path = (each: Certificate) => [readCertificate(leaf.der), each, readCertificate(root.der)];
  await register.learn('maker', path(first!));
  await register.learn('maker', path(first!));
  expect(register.cas('maker').size).toBe(2);
  const again = await AnchorRegister.open(store.read, store.writer);
  expect(again.ca('maker', keyTag(first!))?.der.equals(first!.der)).toBe(true);
  expect(again.ca('maker', '')?.der.equals(root.der)).toBe(true);
  for (const each of others) await again.learn('maker', path(each));
  expect(again.cas('maker').size).toBe(mostSeen);
  expect(again.ca('maker', keyTag(others.at(-1)!))).toBeUndefined();
});

test('a removed one vouches for nobody, in memory and in the transaction that would trust it', async () => {
  const register = await AnchorRegister.open(store.read, store.writer);
  const nowMs = 1_780_000_000_000;
  expect(register.validate([leaf.der], nowMs)).toMatchObject({ trusted: true, issuer: { id: 'maker' } });
  await store.writer.write((write) => judgeStanding(write, 'maker'));
  const row = await store.writer.write((write) =>
    write
      .updateTable('issuers')
      .set({ state: 'removed' })
      .where('id', '=', 'maker')
      .returningAll()
      .executeTakeFirstOrThrow(),
  );
  register.take(row);
  expect(register.all).toEqual([]);
  expect(register.validate([leaf.der], nowMs)).toMatchObject({ trusted: false });
  const standing = store.writer.write((write) => judgeStanding(write, 'maker'));
  await expect(standing).rejects.toMatchObject({ kind: 'issuer-not-trusted' });
});
