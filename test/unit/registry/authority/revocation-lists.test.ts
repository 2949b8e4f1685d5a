/** Which change renews which list, and issuers that come later: on a real store and feed. */
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { type Change, changeKinds } from '#common/contract/change.ts';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import { silentLog } from '#common/log.ts';
import { openMetrics } from '#common/metrics.ts';
import { Feed } from '../../../../registry/authority/feed.ts';
import { OcspIssuers } from '../../../../registry/authority/ocsp-issuers.ts';
import { RevocationLists } from '../../../../registry/authority/revocation-lists.ts';
import { Store } from '../../../../registry/store/store.ts';
import { eventually } from '../../../harness/eventually.ts';
import { makeTestIssuer, type TestIssuer } from '../../../harness/test-issuer.ts';

const clock = systemClock;
const known: Record<string, TestIssuer> = {
  one: await makeTestIssuer('P-256', 'One'),
  two: await makeTestIssuer('Ed25519', 'Two'),
};

let dir: string;
let store: Store;
let feed: Feed;
let ids: string[];
/** Builds, each of which begins by taking a number. */
let begun = 0;
const issuers = {
  get ids() {
    return ids;
  },
  find: (id: string) => {
    const { identity, signer, notAfterMs, pem } = known[id]!;
    return { identity, signer, notAfterMs, certificate: new X509Certificate(pem) };
  },
};

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lists-'));
  store = Store.open(dir);
  feed = new Feed(store.read, clock);
  ids = ['one', 'two'];
  const common = { kind: 'own', state: 'active', fleet: null, mode: null, document: '{}' } as const;
  await store.writer.write(async (write) => {
    for (const id of ids)
      await write
        .insertInto('issuers')
        .values({
          ...common,
          id,
          name: id,
          certificate: '',
          status_until_ms: null,
          crl_number: 0,
          created_ms: 0,
        })
        .execute();
  });
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

const open = (metrics = openMetrics()) =>
  RevocationLists.open({
    issuers,
    feed,
    writer: {
      write: (run) => {
        begun += 1;
        return store.writer.write(run);
      },
    },
    store: store.path,
    dir: join(dir, 'crl'),
    lifetimeMs: 86_400_000,
    metrics,
    clock,
    log: silentLog,
  });
const numbers = (lists: RevocationLists) => ['one', 'two'].map((id) => lists.find(id)?.number ?? 0n);
const change = (kind: Change['kind'], issuer?: string) =>
  ({ kind, entries: issuer === undefined ? [] : [{ issuer } as DirectoryEntry] }) as unknown as Change;

test('a revocation renews the list of its issuer and no other; a change of many renews all', async () => {
  await using lists = await open();
  await eventually(() => expect(numbers(lists)).not.toContain(0n));
  const first = numbers(lists);
  feed.announce(change('certificate-revoked', 'two'));
  await eventually(() => expect(numbers(lists)[1]).toBeGreaterThan(first[1]!));
  expect(numbers(lists)[0]).toBe(first[0]);
  feed.announce(change('certificates-revoked'));
  await eventually(() => expect(numbers(lists)[0]).toBeGreaterThan(first[0]!));
});

test('what revokes nothing renews nothing', async () => {
  await using lists = await open();
  await eventually(() => expect(numbers(lists)).not.toContain(0n));
  const before = begun;
  const idle = changeKinds.filter((kind) => !/revoked|held|reinstated|deleted|issuer/.test(kind));
  expect(idle.length).toBeGreaterThan(5);
  for (const kind of idle) feed.announce(change(kind, 'one'));
  expect(begun).toBe(before);
  // A build begins at once, with its number.
  feed.announce(change('certificate-held', 'one'));
  expect(begun).toBe(before + 1);
});

test('an issuer that comes later has a list, a metric and an OCSP signer without a restart', async () => {
  ids = ['one'];
  const metrics = openMetrics();
  await using lists = await open(metrics);
  const recorded: string[] = [];
  await using signers = await OcspIssuers.open({
    issuers,
    feed,
    record: async ({ issuer, purpose }) => void recorded.push(`${issuer} ${purpose}`),
    lifetimeMs: 86_400_000,
    clock,
    log: silentLog,
  });
  expect(signers.all.map(({ name }) => name)).toEqual(['one']);
  ids = ['one', 'two'];
  feed.announce(change('issuer-changed'));
  await eventually(() => expect(numbers(lists)).not.toContain(0n));
  await eventually(() => expect(signers.all.map(({ signer }) => signer !== null)).toEqual([true, true]));
  expect(recorded).toEqual(['one ocsp', 'two ocsp']);
  const { values } = await metrics.crlNextUpdateTimestampSeconds.get();
  expect(values.map(({ labels }) => labels.issuer).sort()).toEqual(['one', 'two']);
});
