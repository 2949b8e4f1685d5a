/** The feed is read in pages that are bounded by count and by bytes, and none of it is lost between them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { Feed } from '../../../../registry/authority/feed.ts';
import { Store } from '../../../../registry/store/store.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'feed-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

test('large changes make small pages; a change larger than a page comes alone', async () => {
  await using store = Store.open(dir);
  const feed = new Feed(store.read, systemClock);
  const kib = [300, 300, 300, 300, 3000, 1, 1];
  await store.writer.write(async (write) => {
    for (const size of kib)
      await feed.append(write, { kind: 'certificates-revoked', reason: 'x'.repeat(size * 1024) });
  });
  const pages: number[][] = [];
  for (let since = 0; ; since = pages.at(-1)!.at(-1)!) {
    const page = await feed.since(since, 500);
    if (page.length === 0) break;
    pages.push(page.map(({ id }) => id));
  }
  expect(pages).toEqual([[1, 2, 3], [4], [5], [6, 7]]);
  expect((await feed.since(0, 2)).map(({ id }) => id)).toEqual([1, 2]);
});
