/** One test a statement: the whole run happens before the first of them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cases } from './cases.ts';
import { expected } from './expected.ts';
import { type Finished, runCases } from './run.ts';
import type { Peer } from './scene.ts';
import { keyOf } from './statement.ts';

/** Defines the tests of a server. What is expected to fail must fail, and no case may find itself idle. */
export function conformance(name: Peer['name'], start: () => Promise<Peer>): void {
  const known = new Map(expected.filter(({ peer }) => peer === name).map((each) => [keyOf(each), each]));
  let peer: Peer;
  let finished: Map<string, Finished>;
  beforeAll(async () => {
    peer = await start();
    finished = await runCases(peer);
  }, 120_000);
  afterAll(() => peer[Symbol.asyncDispose]());

  for (const each of cases) {
    const key = keyOf(each);
    const { why, result } = known.get(key) ?? {};
    test(`[${each.clause}] ${key.split(' ')[1]} ${each.promise}${why ? `: not so, ${why}` : ''}`, () => {
      const { outcome } = finished.get(key)!;
      if (result !== undefined)
        return expect(outcome.result, 'take the line out of expected.ts').toBe(result);
      if (outcome.result === 'failed') throw outcome.error;
      expect(outcome.result).toBe('passed');
    });
  }
}
