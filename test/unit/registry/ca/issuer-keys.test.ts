/** The folder of the CA after a crash: what is in the tables stays, what is not is set aside, and nothing is deleted. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { IssuerKeys } from '../../../../registry/ca/issuer-keys.ts';
import type { CaSettings } from '../../../../registry/settings.ts';

const day = 86_400_000;
const settings = {
  keyType: 'P-256',
  signer: { type: 'file' },
  rootLifetime: 100 * day,
  issuingLifetime: 50 * day,
} as CaSettings;
const file = { type: 'file' } as const;
let dir: string;
let keys: IssuerKeys;
const later = async () =>
  (await readdir(join(dir, 'ca'))).filter((name) => name.startsWith('issuing-')).sort();

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keys-'));
  keys = new IssuerKeys(dir, settings, systemClock);
  await (await keys.openFirst()).signer.close();
});
afterEach(() => rm(dir, { recursive: true }));

test('a key that is in no table and waits for nothing is set aside; one that waits goes on waiting', async () => {
  await keys.make('issuing-2', file);
  await keys.request({ id: 'issuing-3', name: 'three', key: file }, await keys.make('issuing-3', file));
  expect(await keys.settle(new Map([['issuing', 'preferred']]))).toEqual(['issuing-2']);
  expect(await later()).toEqual(['issuing-2.key.removed', 'issuing-3.json', 'issuing-3.key']);
  expect(await keys.pending()).toMatchObject([{ id: 'issuing-3', name: 'three', key: file }]);
  expect((await keys.ids()).sort()).toEqual(['issuing-2', 'issuing-3', 'issuing-3']);
});

test('what is recorded waits no longer; what is removed has no key that is opened', async () => {
  await keys.request({ id: 'issuing-2', name: 'two', key: file }, await keys.make('issuing-2', file));
  const made = await keys.make('issuing-3', file);
  const states = new Map([
    ['issuing', 'removed'],
    ['issuing-2', 'active'],
    ['issuing-3', 'removed'],
  ] as const);
  expect((await keys.settle(states)).sort()).toEqual(['issuing', 'issuing-3']);
  expect(await later()).toEqual(['issuing-2.key', 'issuing-3.key.removed']);
  expect(await readdir(join(dir, 'ca'))).toContain('issuing.key.removed');
  expect(await keys.settle(states)).toEqual([]);
  await expect(keys.open('issuing-3', file)).rejects.toThrow('cannot be opened');
  expect((await keys.open('issuing-2', file)).publicKey.equals(made.publicKey)).toBe(false);
});

test('the root certifies a key while it is here', async () => {
  const { publicKey } = await keys.make('issuing-2', file, 'Ed25519');
  expect(publicKey.asymmetricKeyType).toBe('ed25519');
  expect(await keys.certify(publicKey)).toContain('BEGIN CERTIFICATE');
  await rm(join(dir, 'ca', 'root.key'));
  expect(await keys.certify(publicKey)).toBeUndefined();
});
