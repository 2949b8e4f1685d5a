/** Each fuzz target, briefly; `npm run fuzz` runs them for as long as one likes. */
import fc from 'fast-check';
import { test } from 'vitest';
import { aloneTargets } from '../../fuzz/alone.ts';

const briefMs = 1500;

test.each(aloneTargets)('$name: $promise', async ({ property }) => {
  await fc.assert(property(), { numRuns: 2000, interruptAfterTimeLimit: briefMs });
});
