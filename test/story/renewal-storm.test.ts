/** Five hundred devices renew at twice the rate of their forecast, beside others that connect: nobody is locked out. `bench/renewal-case.ts` is the same with ten thousand. */
import { expect, test } from 'vitest';
import { runRenewalCase } from '../../bench/renewal-case.ts';

test('none is locked out, and CONNECTs go on beside it', { timeout: 180_000 }, async () => {
  const { fleet, quiet, beside } = await runRenewalCase({
    devices: 500,
    windowSeconds: 20,
    connectRate: 20,
    quietSeconds: 5,
  });
  expect(fleet).toMatchObject({ renewed: 500, lockedOut: 0 });
  expect(quiet.failed + beside.failed).toBe(0);
  // Beside other tests a quiet moment is luck: a quarter of a second is let pass.
  expect(beside.p99).toBeLessThan(Math.max(3 * quiet.p99, 250));
});
