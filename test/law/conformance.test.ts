/** The table of docs/conformance.md and the cases agree, and no statement of the specifications is left out. */
import { expect, test } from 'vitest';
import { clausesOf } from '../conformance/appendix.ts';
import { cases } from '../conformance/cases.ts';
import { expected } from '../conformance/expected.ts';
import { keyOf } from '../conformance/statement.ts';
import { countOf, pageOf, type Word } from '../conformance/table.ts';
import { untested } from '../conformance/untested.ts';
import { text } from './source.ts';

const versions = [4, 5] as const;
const page = text('docs/conformance.md');

/** The results that the page shows, by version and clause. */
function shown(column: 'fleetgate' | 'mosquitto'): Map<string, Word> {
  const words = new Map<string, Word>();
  for (const version of versions) {
    const section = page.split(version === 4 ? '## MQTT 3.1.1' : '## MQTT 5\n')[1]!.split('\n## ')[0]!;
    for (const [, clause = '', fleetgate, mosquitto] of section.matchAll(
      /^\| (MQTT-\S+) \| [^|]+ \| (\S+) \| (\S+) \|/gm,
    ))
      words.set(keyOf({ clause, version }), (column === 'fleetgate' ? fleetgate : mosquitto) as Word);
  }
  return words;
}

test('every normative statement has one case, or a reason why it has none', () => {
  const have = [...cases, ...untested].map(keyOf).sort();
  const want = versions.flatMap((version) => clausesOf(version).map((clause) => keyOf({ clause, version })));
  expect(have).toEqual(want.sort());
});

test('what is expected to fail is a case', () => {
  const known = new Set(cases.map(keyOf));
  expect(expected.filter((each) => !known.has(keyOf(each)))).toEqual([]);
});

test('the page is what its own results make of the cases', () => {
  const [fleetgate, mosquitto] = [shown('fleetgate'), shown('mosquitto')];
  expect(page).toBe(pageOf(fleetgate, mosquitto));
  expect(countOf(fleetgate.values())).toMatch(/^\d+ of \d+$/);
});

const words = { failed: 'no', 'not applicable': 'n/a' } as const;

test('a "no" and an "n/a" on the page are expected, and what is expected is on the page', () => {
  for (const [peer, column] of [['Fleetgate', 'fleetgate'] as const, ['mosquitto', 'mosquitto'] as const]) {
    const denied = [...shown(column)]
      .filter(([, word]) => word === 'no' || word === 'n/a')
      .map((each) => each.join());
    expect(denied.sort(), peer).toEqual(
      expected
        .filter((each) => each.peer === peer)
        .map((each) => `${keyOf(each)},${words[each.result]}`)
        .sort(),
    );
  }
});
