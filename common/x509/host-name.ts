/** How hosts, mailboxes and URIs are spelt in certificates (RFC 5280, sections 4.2.1.6 and 4.2.1.10). Nothing is resolved or decoded. */
import type { GeneralName } from './general-name.ts';

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;

/** Preferred name syntax (RFC 1034, section 3.5, with RFC 1123, section 2.1): no underscore, no final dot, no address. */
export function isHostName(text: string): boolean {
  if (text.length > 253) return false;
  const labels = text.split('.');
  // A name that ends in a number is read as an IPv4 address by many.
  return labels.every((each) => label.test(each)) && !/^[0-9]+$/.test(labels.at(-1)!);
}

/** What a wildcard stands below: `example.com` of `*.example.com`; null for a name without one (RFC 9525, section 6.3). */
export const wildcardBase = (dns: string): string | null => (dns.startsWith('*.') ? dns.slice(2) : null);

export interface Mailbox {
  /** Case matters (RFC 5321, section 2.4). */
  readonly local: string;
  readonly host: string;
}

/** `local@host`; null for anything else. The asterisk is a letter like others. */
export function mailboxOf(text: string): Mailbox | null {
  const parts = /^([^\s@"(),:;<>[\\\]]{1,64})@([^@]+)$/.exec(text);
  return parts && isHostName(parts[2]!) ? { local: parts[1]!, host: parts[2]! } : null;
}

/** An absolute URI in the characters of RFC 3986. */
const absolute = /^[a-z][a-z0-9+.-]*:(?:[a-z0-9._~:/?#[\]@!$&'()*+,;=-]|%[0-9a-f]{2})+$/i;
const authority = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#@:[\]]*)(?::[0-9]*)?(?:[/?#]|$)/i;

export const isAbsoluteUri = (text: string): boolean => absolute.test(text);

/** The host of a URI when it has one by name; null for addresses, and for URIs without an authority. */
export function uriHost(text: string): string | null {
  const host = absolute.test(text) ? authority.exec(text)?.[1] : undefined;
  return host !== undefined && isHostName(host) ? host : null;
}

/** What is wrong with the spelling of a name in a certificate, or null. */
export function misspelling(name: GeneralName): string | null {
  switch (name.type) {
    case 'dns': {
      const base = wildcardBase(name.value);
      // A wildcard right below the top would stand for half the world.
      const good = base === null ? isHostName(name.value) : isHostName(base) && base.includes('.');
      return good ? null : `the dNSName ${JSON.stringify(name.value)} is no host name`;
    }
    case 'email':
      return mailboxOf(name.value) ? null : `the rfc822Name ${JSON.stringify(name.value)} is no mailbox`;
    case 'uri':
      return isAbsoluteUri(name.value) ? null : `the URI ${JSON.stringify(name.value)} is not absolute`;
    default:
      return null;
  }
}
