/** Offers to a gateway elsewhere: sent in order, bounded, and what was left out is said. */
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { CommandOffer } from '#common/contract/command.ts';
import { CommandWaits } from '../../../../registry/authority/command-waits.ts';
import { RemoteGateway } from '../../../../registry/authority/remote-gateway.ts';

const offer = (number: number) => ({ number }) as CommandOffer;

test('a gateway that does not read them is told that it has missed some', () => {
  let woken = 0;
  const gateway = new RemoteGateway('north', () => {
    woken += 1;
  });
  for (let n = 1; n <= 1_000; n++) void gateway.offer(offer(n));
  const offers = gateway.takeOffers();
  expect(offers).toHaveLength(257);
  expect(offers[0]).toEqual(offer(1));
  expect(offers.at(-1)).toBeNull();
  void gateway.offer(offer(1_001));
  expect(gateway.takeOffers()).toEqual([offer(1_001)]);
  expect(woken).toBe(1_001);
});

test('a call that has gone, or whose time is over, waits no longer', async () => {
  const waits = new CommandWaits(systemClock, 1);
  const gone = new AbortController();
  const left = waits.begin('a', 60_000, gone.signal);
  expect(() => waits.mayBegin()).toThrow('try again');
  gone.abort();
  expect(await left).toBeNull();
  expect(await waits.begin('a', 1, new AbortController().signal)).toBeNull();
  expect(await waits.begin('a', 60_000, AbortSignal.abort())).toBeNull();
  expect(waits.size).toBe(0);
  waits.mayBegin();
});
