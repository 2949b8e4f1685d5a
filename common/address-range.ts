/** Ranges of addresses as people write them: `10.0.0.0/8`, `2001:db8::/32`, or one address. */
import { BlockList, isIP } from 'node:net';
import { Fault } from './fault.ts';

/** A set to look addresses up in. Faults `malformed` with the text that is no range. */
export function addressRanges(texts: readonly string[]): BlockList {
  const ranges = new BlockList();
  for (const text of texts) {
    const [address = '', prefix, ...more] = text.split('/');
    const version = isIP(address);
    const bits = version === 4 ? 32 : 128;
    const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
    if (version === 0 || more.length > 0 || length < 0 || length > bits)
      throw new Fault(
        'malformed',
        `"${text}" is no address and no range such as 10.0.0.0/8 or 2001:db8::/32.`,
      );
    ranges.addSubnet(address, length, version === 4 ? 'ipv4' : 'ipv6');
  }
  return ranges;
}

/** Whether an address is in it; IPv4 in IPv6 counts as IPv4. */
export const isWithin = (ranges: BlockList, address: string): boolean =>
  ranges.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
