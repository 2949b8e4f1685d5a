/** The tree of filters finds what filters one by one would find, and keeps nothing of what was taken out. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { filterMatches } from '#common/topic-match.ts';
import { FilterTree } from '../../../../gateway/mqtt/filter-tree.ts';

const level = fc.constantFrom('a', 'b', '', '$x', 'constructor', '__proto__');
const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 4 }), fc.boolean())
  .map(([levels, open]) => (open || levels.length === 0 ? [...levels, '#'] : levels).join('/'));

const found = (tree: FilterTree<string>, topic: string): string[] => {
  const all: string[] = [];
  tree.match(topic, (value) => all.push(value));
  return all.sort();
};

test('a topic finds every filter that matches it, once, and no other', () => {
  fc.assert(
    fc.property(fc.uniqueArray(filters, { maxLength: 20 }), topics, (all, topic) => {
      const tree = new FilterTree<string>();
      for (const filter of all) tree.add(filter, filter);
      const matching = all.filter((filter) => filterMatches(filter.split('/'), topic.split('/')));
      expect(found(tree, topic)).toEqual(matching.sort());
    }),
    { numRuns: 2_000 },
  );
});

test('what is taken out is not found, what stays is', () => {
  fc.assert(
    fc.property(fc.uniqueArray(filters, { maxLength: 20 }), fc.nat(20), topics, (all, count, topic) => {
      const tree = new FilterTree<string>();
      for (const filter of all) tree.add(filter, filter);
      for (const filter of all.slice(0, count)) tree.remove(filter, filter);
      tree.remove('never/there', 'x');
      const left = all.slice(count);
      const matching = left.filter((filter) => filterMatches(filter.split('/'), topic.split('/')));
      expect(found(tree, topic)).toEqual(matching.sort());
    }),
  );
});

test('one filter may hold many values', () => {
  const tree = new FilterTree<string>();
  for (const value of ['1', '2', '2']) tree.add('a/+', value);
  expect(found(tree, 'a/b')).toEqual(['1', '2']);
  tree.remove('a/+', '1');
  expect(found(tree, 'a/b')).toEqual(['2']);
});
