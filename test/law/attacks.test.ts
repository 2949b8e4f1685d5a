/** Every attack on the list has a test, and it is there. */
import { expect, test } from 'vitest';
import { brokerFaults, type MetAttack, metAttacks } from './attack-table.ts';
import { files, text } from './source.ts';

const missing = (proof: MetAttack['proof']): string[] =>
  proof.flatMap(([file, ...titles]) => {
    const path = `test/${file}`;
    if (!files.includes(path)) return [`${path} is not there`];
    const source = text(path).replaceAll("\\'", "'");
    return titles.filter((title) => !source.includes(title)).map((title) => `${path}: ${title}`);
  });

test('thirty-two attacks, each once', () => {
  expect(metAttacks.map(({ number }) => number)).toEqual(Array.from({ length: 32 }, (_, n) => n + 1));
});

test('each names tests that are there', () => {
  expect(metAttacks.filter(({ proof }) => proof.length === 0)).toEqual([]);
  expect(metAttacks.flatMap(({ proof }) => missing(proof))).toEqual([]);
});

test('so does each fault of the broker behind', () => {
  expect(missing(brokerFaults)).toEqual([]);
});
