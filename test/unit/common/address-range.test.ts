/** Ranges of addresses, as they are written in the configuration. */
import { expect, test } from 'vitest';
import { addressRanges, isWithin } from '#common/address-range.ts';

test('an address is within its range, IPv4 also when it comes in IPv6', () => {
  const ranges = addressRanges(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::1']);
  for (const address of ['10.255.0.1', '::ffff:10.0.0.1', '192.0.2.7', '2001:db8:1::9', '::1'])
    expect(isWithin(ranges, address)).toBe(true);
  for (const address of ['11.0.0.1', '::ffff:11.0.0.1', '192.0.2.8', '2001:db9::1', '::2', '127.0.0.1'])
    expect(isWithin(ranges, address)).toBe(false);
});

test.each([
  '',
  'proxy.example',
  '10.0.0.0/33',
  '10.0.0.0/',
  '10.0.0.0/8/8',
  '::/129',
  '10.0.0',
  '1.2.3.4/-1',
])('"%s" is no range', (text) => {
  expect(() => addressRanges([text])).toThrow(/no address and no range/);
});
