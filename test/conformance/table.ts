/** The page docs/conformance.md, as it follows from the cases and from how they went. Pure. */
import { clausesOf } from './appendix.ts';
import { atFirst } from './at-first.ts';
import { cases } from './cases.ts';
import { expected } from './expected.ts';
import type { Peer } from './scene.ts';
import { keyOf, type Version } from './statement.ts';
import { untested } from './untested.ts';

/** What a case came to: as `Outcome`, without the errors. */
export type Word = 'yes' | 'no' | 'n/a';
export type Words = ReadonlyMap<string, Word>;

export interface Row {
  readonly clause: string;
  readonly says: string;
  readonly fleetgate: string;
  readonly mosquitto: string;
  readonly remark: string;
}

const titles = { 4: 'MQTT 3.1.1', 5: 'MQTT 5' } as const;

export function rowsOf(version: Version, fleetgate: Words, mosquitto: Words): Row[] {
  const tested = new Map(cases.map((each) => [keyOf(each), each]));
  const others = new Map(untested.map((each) => [keyOf(each), each]));
  return clausesOf(version).map((clause) => {
    const key = keyOf({ clause, version });
    const promise = tested.get(key)?.promise;
    if (promise === undefined) {
      const { says, why } = others.get(key)!;
      return { clause, says, fleetgate: '–', mosquitto: '–', remark: why };
    }
    const remark = expected.filter((each) => keyOf(each) === key).map(({ peer, why }) => `${peer}: ${why}`);
    return {
      clause,
      says: promise,
      fleetgate: fleetgate.get(key) ?? '?',
      mosquitto: mosquitto.get(key) ?? '?',
      remark: remark.join('; '),
    };
  });
}

/** How many statements a server keeps, of those with a test that applies to it. */
export function countOf(words: Iterable<Word>): string {
  const all = [...words];
  return `${all.filter((word) => word === 'yes').length} of ${all.filter((word) => word !== 'n/a').length}`;
}

export function pageOf(fleetgate: Words, mosquitto: Words): string {
  const figures = (version: Version, words: Words) =>
    countOf(cases.filter((each) => each.version === version).map((each) => words.get(keyOf(each)) ?? 'no'));
  const summary = ([4, 5] as const).map(
    (version) =>
      `| ${titles[version]} | ${clausesOf(version).length} | ${cases.filter((each) => each.version === version).length} | ${atFirst.figures[version]} | ${figures(version, fleetgate)} | ${figures(version, mosquitto)} |`,
  );
  const sections = ([4, 5] as const).map((version) => {
    const rows = rowsOf(version, fleetgate, mosquitto).map(
      ({ clause, says, fleetgate, mosquitto, remark }) =>
        `| ${clause} | ${says} | ${fleetgate} | ${mosquitto} | ${remark} |`,
    );
    return `## ${titles[version]}\n\n| clause | what it asks | Fleetgate | mosquitto | remark |\n| --- | --- | --- | --- | --- |\n${rows.join('\n')}\n`;
  });
  return `${opening}
| | statements | with a test | Fleetgate at first | Fleetgate | mosquitto |
| --- | --- | --- | --- | --- | --- |
${summary.join('\n')}

## What failed at first

${atFirst.mended.map(({ clauses, what }) => `- ${what} (${clauses.join(', ')}).`).join('\n')}

${sections.join('\n')}`;
}

const opening = `# Conformance

Every normative statement of [MQTT 3.1.1](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html) and [MQTT 5](https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html), by its number in their Appendix B, with the result of its test. The tests (\`test/conformance\`) speak raw packets over mutual TLS, to Fleetgate and to mosquitto 2.0.11 alike, so that a test that is wrong shows. A script writes this page from a run (\`node test/conformance/report.ts\`), the suite repeats the run, and a law compares the page with the cases.

*yes*: the test passed. *no*: it failed, and the remark says why; the suite fails when it begins to pass. *n/a*: the statement is about something that this server does not do. *–*: no test, for the reason in the remark. Where a statement allows a choice, [decision 6](decisions/06-mqtt-rules.md) says what was chosen.
`;

export type PeerWords = Readonly<Record<Peer['name'], Words>>;
