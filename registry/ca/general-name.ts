/** General names (RFC 5280, section 4.2.1.6), as they stand in alternative names, and as name constraints bound them. */
import { isIPv4, isIPv6 } from 'node:net';
import { Fault } from '#common/fault.ts';
import { contextPrimitive, der, ia5 } from './der-writer.ts';

export interface GeneralName {
  readonly type: 'email' | 'dns' | 'uri' | 'ip';
  /** As people write it; international host names as A-labels. */
  readonly value: string;
}

const numbers = { email: 1, dns: 2, uri: 6, ip: 7 } as const;

/** Faults `malformed` for what is not of its type. */
export const encodeGeneralName = ({ type, value }: GeneralName): Buffer =>
  der(contextPrimitive(numbers[type]), type === 'ip' ? addressOctets(value) : ia5(value));

/** A subtree (section 4.2.1.10): an address is written with its prefix, `10.0.0.0/8`. */
export function encodeSubtreeBase({ type, value }: GeneralName): Buffer {
  if (type !== 'ip') return der(contextPrimitive(numbers[type]), ia5(value));
  const [address = '', prefix = ''] = value.split('/');
  const octets = addressOctets(address);
  const length = /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!(length <= octets.length * 8))
    throw new Fault('malformed', `"${value}" is not an address with the length of its prefix.`);
  const mask = octets.map((_octet, index) => 0xff & (0xff00 >> Math.min(8, Math.max(0, length - 8 * index))));
  return der(contextPrimitive(numbers.ip), Buffer.concat([octets, mask]));
}

/** Four octets or sixteen. */
function addressOctets(text: string): Buffer {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number));
  if (!isIPv6(text) || text.includes('%'))
    throw new Fault('malformed', `"${text}" is not an IP address without a zone.`);
  const plain = text.replace(/[\d.]+\.\d+$/, (ipv4) => {
    const octets = addressOctets(ipv4);
    return `${octets.toString('hex', 0, 2)}:${octets.toString('hex', 2)}`;
  });
  const [left = [], right = []] = plain.split('::').map((half) => half.split(':').filter(Boolean));
  const groups = [...left, ...new Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
