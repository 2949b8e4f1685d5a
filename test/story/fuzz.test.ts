/** A whole house under noise, briefly; `npm run fuzz` does it for as long as one likes. */
import fc from 'fast-check';
import { afterAll, beforeAll, test } from 'vitest';
import { FuzzedHouse, liveNames, liveTargets } from '../fuzz/live.ts';

const briefMs = 5000;

let fuzzed: FuzzedHouse;
beforeAll(async () => {
  fuzzed = await FuzzedHouse.open();
});
afterAll(() => fuzzed[Symbol.asyncDispose]());

test.each(liveNames)('%s: noise ends its own connection, and nothing else', async (wanted) => {
  const target = liveTargets(fuzzed).find(({ name }) => name === wanted)!;
  await fc.assert(target.property(), { numRuns: 100, interruptAfterTimeLimit: briefMs });
});
