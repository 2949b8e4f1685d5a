/** What gateways ask of the registry is judged like anything from outside: shape first, and no more at once than so many. */
import { expect, test } from 'vitest';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import { Introductions, type IntroductionsParts } from '../../../../registry/authority/introductions.ts';

const parts = (change: object): IntroductionsParts =>
  ({ find: () => undefined, ...change }) as unknown as IntroductionsParts;

test.each<[string, unknown]>([
  ['nothing', undefined],
  ['an empty chain', []],
  ['what is no list', 'AAAA'],
  ['what is no text', [7]],
  ['more certificates than a chain has', Array(18).fill('AAAA')],
  ['one that is too long', ['A'.repeat(90_001)]],
])('%s is malformed', async (_what, chain) => {
  const introductions = new Introductions(parts({}));
  await expect(introductions.introduce(chain as string[], 'north')).rejects.toMatchObject({
    kind: 'malformed',
  });
});

test('beyond a thousand at once they are told to try again', async () => {
  const never = new Promise<never>(() => {});
  const introductions = new Introductions(parts({ chains: { read: () => never } }));
  for (let n = 0; n < 1000; n++) introductions.introduce(['AAAA'], 'north').catch(() => {});
  await expect(introductions.introduce(['AAAA'], 'north')).rejects.toMatchObject({ kind: 'unavailable' });
});

test('one that is known is answered as it is; one whose state has run out is asked about first', async () => {
  const entry = { certificateState: 'issued', statusUntilMs: 5 } as unknown as DirectoryEntry;
  const asked: string[] = [];
  const refresh = { now: async (fingerprint: string) => void asked.push(fingerprint) };
  const ask = (nowMs: number) =>
    new Introductions(parts({ find: () => entry, refresh, clock: { now: () => nowMs } })).introduce(
      ['AAAA'],
      'north',
    );
  expect(await ask(5)).toBe(entry);
  expect(asked.length).toBe(0);
  expect(await ask(6)).toBe(entry);
  expect(asked.length).toBe(1);
});
