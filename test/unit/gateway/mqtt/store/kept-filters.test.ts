/** The index finds what a filter by itself would match, whatever was added and removed. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { filterMatches } from '#common/topic-match.ts';
import { KeptFilters } from '../../../../../gateway/mqtt/store/kept-filters.ts';

const level = fc.constantFrom('a', 'b', '', '$x', 'long');
const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 4 }), fc.boolean())
  .map(([levels, open]) => [...levels, ...(open || levels.length === 0 ? ['#'] : [])].join('/'));
const entry = fc.record({
  topic: filter,
  clientId: fc.constantFrom('one', 'two', 'three'),
  added: fc.boolean(),
});

test('it agrees with the rule of section 4.7, filter by filter', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 30 }), topic, (entries, asked) => {
      const index = new KeptFilters();
      const held = new Map<string, { topic: string; clientId: string }>();
      for (const { topic, clientId, added } of entries) {
        const key = `${clientId} ${topic}`;
        if (added) {
          index.add({ topic, clientId, qos: 1, rh: 0, rap: false, nl: false });
          held.set(key, { topic, clientId });
        } else {
          index.remove(topic, clientId);
          held.delete(key);
        }
      }
      const expected = [...held].flatMap(([key, { topic }]) =>
        filterMatches(topic.split('/'), asked.split('/')) ? [key] : [],
      );
      const found = index.match(asked).map(({ clientId, topic }) => `${clientId} ${topic}`);
      expect(found.sort()).toEqual(expected.sort());
      expect(index.size).toBe(held.size);
    }),
    { numRuns: 2_000 },
  );
});
