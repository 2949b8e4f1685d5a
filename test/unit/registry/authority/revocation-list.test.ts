/** The list of one issuer on a real store with a still clock: coalesced builds, retries, numbers, and what is kept. */

import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog } from '#common/log.ts';
import {
  RevocationList,
  type RevocationListOptions,
} from '../../../../registry/authority/revocation-list.ts';
import { readCrl } from '../../../../registry/ca/read-crl.ts';
import { Store } from '../../../../registry/store/store.ts';
import { eventually } from '../../../harness/eventually.ts';
import { StillClock } from '../../../harness/still-clock.ts';
import { keyTypes, makeTestIssuer, type TestIssuer } from '../../../harness/test-issuer.ts';

const startMs = Math.ceil(Date.now() / 1000) * 1000;
const hour = 3_600_000;
const issuer = await makeTestIssuer('P-256');

let dir: string;
let store: Store;
let clock: StillClock;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'list-'));
  store = Store.open(dir);
  clock = new StillClock(startMs);
  await store.writer.write(async (write) => {
    await write
      .insertInto('issuers')
      .values({
        id: 'issuing',
        kind: 'own',
        state: 'preferred',
        name: 'issuing',
        certificate: issuer.pem,
        fleet: null,
        mode: null,
        document: '{}',
        status_until_ms: null,
        crl_number: 0,
        created_ms: startMs,
      })
      .execute();
  });
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

const keysOf = ({ pem, identity, signer }: TestIssuer) => ({
  identity,
  publicKey: new X509Certificate(pem).publicKey,
  algorithm: signer.algorithm,
});

/** Options of which every signature and every publication is counted. */
function counted(change: Partial<RevocationListOptions> = {}) {
  const seen = {
    signed: 0,
    most: 0,
    under: 0,
    published: [] as bigint[],
    hold: Promise.resolve(),
    broken: false,
  };
  const options: RevocationListOptions = {
    issuer: 'issuing',
    keys: keysOf(issuer),
    signer: {
      algorithm: issuer.signer.algorithm,
      async sign(tbs) {
        seen.signed += 1;
        seen.under += 1;
        seen.most = Math.max(seen.most, seen.under);
        try {
          await seen.hold;
          if (seen.broken) throw new Error('the key is away');
          return await issuer.signer.sign(tbs);
        } finally {
          seen.under -= 1;
        }
      },
    },
    store: store.path,
    file: join(dir, 'issuing.crl'),
    writer: store.writer,
    lifetimeMs: 24 * hour,
    clock,
    log: silentLog,
    onPublished: ({ number }) => seen.published.push(number),
    ...change,
  };
  return { seen, options };
}
const publishedTimes = (seen: { published: bigint[] }, times: number) =>
  eventually(() => expect(seen.published).toHaveLength(times));

test('a hundred revocations while a list is being signed are one more list', async () => {
  const { seen, options } = counted();
  let go = () => {};
  seen.hold = new Promise<void>((resolve) => {
    go = resolve;
  });
  await using list = await RevocationList.open(options);
  await eventually(() => expect(seen.under).toBe(1));
  for (let n = 0; n < 100; n++) list.renew();
  go();
  await publishedTimes(seen, 1);
  await eventually(async () => {
    // It rests between two builds.
    await clock.move(300);
    expect(seen.published).toHaveLength(2);
  });
  expect(seen).toMatchObject({ signed: 2, most: 1 });
});

test('it is renewed when half its life is over, and not before', async () => {
  const { seen, options } = counted();
  await using _list = await RevocationList.open(options);
  await publishedTimes(seen, 1);
  await clock.move(12 * hour - 1);
  expect(seen.signed).toBe(1);
  await clock.move(1);
  await publishedTimes(seen, 2);
});

test('while its key is away the last one stands; it is tried again until there is a newer one', async () => {
  const { seen, options } = counted();
  await using list = await RevocationList.open(options);
  await publishedTimes(seen, 1);
  const first = list.current;
  seen.broken = true;
  list.renew();
  await eventually(() => expect(seen.signed).toBe(2));
  expect(list.current).toBe(first);
  seen.broken = false;
  await eventually(async () => {
    await clock.move(1000);
    expect(seen.published).toHaveLength(2);
  });
});

test('numbers are at least the seconds since 1970 and never repeat, within a second and over a restore', async () => {
  const { seen, options } = counted();
  {
    await using list = await RevocationList.open(options);
    for (let times = 1; times <= 3; times++) {
      await publishedTimes(seen, times);
      list.renew();
      await eventually(async () => {
        await clock.move(0);
        expect(seen.published.length).toBeGreaterThan(times);
      });
    }
  }
  const seconds = BigInt(startMs / 1000);
  expect(seen.published.slice(0, 3)).toEqual([seconds, seconds + 1n, seconds + 2n]);
  const last = seen.published.at(-1)!;
  // A backup comes back, and the list on the disk is lost with it.
  await store.writer.write((write) => write.updateTable('issuers').set({ crl_number: 1 }).execute());
  await rm(options.file);
  await clock.move(10_000);
  const again = counted();
  await using _list = await RevocationList.open(again.options);
  await publishedTimes(again.seen, 1);
  expect(again.seen.published[0]).toBeGreaterThan(last);
});

test('the clock set back does not turn the number back', async () => {
  const { seen, options } = counted();
  await using list = await RevocationList.open(options);
  await publishedTimes(seen, 1);
  clock.set(startMs - 24 * hour);
  list.renew();
  await publishedTimes(seen, 2);
  expect(seen.published[1]).toBe(seen.published[0]! + 1n);
});

test.each(keyTypes)('what was kept is served at once after a restart, under %s', async (type) => {
  const own = await makeTestIssuer(type);
  const { seen, options } = counted({ keys: keysOf(own), signer: own.signer });
  {
    await using _list = await RevocationList.open(options);
    await publishedTimes(seen, 1);
  }
  const never = { ...own.signer, sign: () => Promise.reject(new Error('away')) };
  await using list = await RevocationList.open({ ...options, signer: never });
  expect(list.current?.der).toEqual(await readFile(options.file));
});

test('a list cut anywhere, of another issuer or changed anywhere is not read', async () => {
  const { seen, options } = counted();
  {
    await using _list = await RevocationList.open(options);
    await publishedTimes(seen, 1);
  }
  const der = await readFile(options.file);
  const { keys } = options;
  for (let cut = 0; cut < der.length; cut++)
    await expect(readCrl(der.subarray(0, cut), keys)).rejects.toMatchObject({ kind: 'malformed' });
  for (let at = 0; at < der.length; at += 3) {
    const changed = Buffer.from(der);
    changed[at]! ^= 0x15;
    await expect(readCrl(changed, keys)).rejects.toMatchObject({ kind: 'malformed' });
  }
  const sameName = await makeTestIssuer('P-256');
  await expect(readCrl(der, keysOf(sameName))).rejects.toMatchObject({ kind: 'malformed' });
  const otherName = { ...keys, identity: (await makeTestIssuer('P-256', 'Other')).identity };
  await expect(readCrl(der, otherName)).rejects.toMatchObject({ kind: 'malformed' });
  await writeFile(options.file, der.subarray(0, 100));
  const never = { ...issuer.signer, sign: () => Promise.reject(new Error('away')) };
  await using list = await RevocationList.open({ ...options, signer: never });
  expect(list.current).toBeUndefined();
});
