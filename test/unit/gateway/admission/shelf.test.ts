/** The shelf: bounded by number, weight and share, whatever comes in whatever order. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Shelf } from '../../../../gateway/admission/shelf.ts';

const endless = Number.POSITIVE_INFINITY;

test('a source that is loud pushes out itself, and nobody else', () => {
  const shelf = new Shelf<string>({ most: 100, share: 5, maxWeight: endless });
  shelf.add('quiet', 'the one that matters', 0);
  for (let n = 0; n < 10_000; n++) shelf.add('loud', `noise ${n}`, 0);
  expect([...shelf.items()]).toEqual([
    'the one that matters',
    'noise 9995',
    'noise 9996',
    'noise 9997',
    'noise 9998',
    'noise 9999',
  ]);
});

test('full by weight, the oldest goes first', () => {
  const shelf = new Shelf<string>({ most: 100, share: 100, maxWeight: 10 });
  for (const name of ['a', 'b', 'c']) shelf.add(name, name, 4);
  expect([...shelf.items()]).toEqual(['b', 'c']);
  shelf.add('d', 'heavier than all that fits', 11);
  expect([...shelf.items()]).toEqual(['heavier than all that fits']);
});

test('after anything, no bound is passed, and what is there is the newest of its source', () => {
  const adding = fc.array(fc.tuple(fc.nat(5), fc.nat(8)), { maxLength: 200 });
  fc.assert(
    fc.property(adding, (all) => {
      const shelf = new Shelf<[number, number, number]>({ most: 12, share: 4, maxWeight: 40 });
      for (const [n, [source, weight]] of all.entries())
        shelf.add(String(source), [n, source, weight], weight);
      const kept = [...shelf.items()];
      expect(kept.length).toBeLessThanOrEqual(12);
      expect(kept.length).toBe(shelf.size);
      expect(kept.reduce((sum, [, , weight]) => sum + weight, 0)).toBeLessThanOrEqual(40);
      for (let source = 0; source <= 5; source++) {
        const mine = kept.filter((each) => each[1] === source).map(([n]) => n);
        const came = all.flatMap(([each], n) => (each === source ? [n] : []));
        expect(mine).toEqual(came.slice(came.length - mine.length));
        expect(mine.length).toBeLessThanOrEqual(4);
      }
    }),
  );
});
