/**
 * Five hundred devices renew at twice the rate of their forecast, beside others that connect: nobody is locked out. How
 * long a CONNECT takes beside it is measured by `bench/renewal-case.ts`, with ten thousand and nothing else on the machine.
 */
import { expect, test } from 'vitest';
import { runRenewalCase } from '../../bench/renewal-case.ts';

test('none is locked out, and every CONNECT beside it is answered', { timeout: 240_000 }, async () => {
  const { fleet, quiet, beside } = await runRenewalCase({
    devices: 500,
    windowSeconds: 40,
    connectRate: 10,
    quietSeconds: 1,
  });
  expect(fleet).toMatchObject({ renewed: 500, lockedOut: 0 });
  expect(beside.count).toBeGreaterThan(0);
  expect(quiet.failed + beside.failed).toBe(0);
});
