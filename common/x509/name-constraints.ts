/**
 * Name constraints (RFC 5280, section 4.2.1.10) of one CA against the names of one certificate below it. A form that is
 * constrained and not understood here refuses every name of it. dNSName constraints say nothing of a CN: a mapping rule
 * that takes identity from CN is bound by directoryName constraints alone.
 */
import type { Certificate } from './certificate.ts';
import type { GeneralName, GeneralNameType } from './general-name.ts';
import { isHostName, type Mailbox, mailboxOf, uriHost, wildcardBase } from './host-name.ts';
import { isEmptyName, isWithinName, valuesOf } from './name.ts';
import { attributeOids } from './object-identifier.ts';

/** Comparisons that may yet be made; one object a validation. */
export interface Work {
  comparisons: number;
}

export interface Constraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

export type ConstraintProblem = { problem: 'name-constraints' | 'too-much-work'; detail: string };

/** Why the constraints forbid a name of the certificate, or null. Takes what it does from `work`. */
export function judgeNames(
  certificate: Certificate,
  constraints: Constraints,
  work: Work,
): ConstraintProblem | null {
  const bases = [...constraints.permitted, ...constraints.excluded];
  work.comparisons -= bases.length;
  if (work.comparisons < 0) return tooMuch;
  for (const base of bases) {
    if (!isConstraint(base)) return refused(`a name constraint of type ${base.type} is malformed`);
  }
  const permitted = byType(constraints.permitted);
  const excluded = byType(constraints.excluded);
  for (const name of namesOf(certificate)) {
    const allow = permitted.get(name.type);
    const deny = excluded.get(name.type) ?? [];
    work.comparisons -= (allow?.length ?? 0) + deny.length;
    if (work.comparisons < 0) return tooMuch;
    const detail = judgeName(name, allow, deny);
    if (detail) return refused(detail);
  }
  return null;
}

const tooMuch: ConstraintProblem = {
  problem: 'too-much-work',
  detail: 'there are too many names under too many name constraints',
};
const refused = (detail: string): ConstraintProblem => ({ problem: 'name-constraints', detail });

/** The subject, the alternative names, and mail addresses within the subject. */
function namesOf({ subject, extensions }: Certificate): GeneralName[] {
  const names: GeneralName[] = [...(extensions.subjectAltName?.names ?? [])];
  if (!isEmptyName(subject)) names.push({ type: 'directoryName', value: subject });
  for (const value of valuesOf(subject, attributeOids.emailAddress)) names.push({ type: 'email', value });
  return names;
}

function byType(list: readonly GeneralName[]): ReadonlyMap<GeneralNameType, readonly GeneralName[]> {
  const grouped = new Map<GeneralNameType, GeneralName[]>();
  for (const name of list) {
    const group = grouped.get(name.type);
    if (group) group.push(name);
    else grouped.set(name.type, [name]);
  }
  return grouped;
}

function judgeName(
  name: GeneralName,
  allow: readonly GeneralName[] | undefined,
  deny: readonly GeneralName[],
): string | null {
  if (!allow && deny.length === 0) return null;
  if (!isComparable(name)) return `a ${name.type} name cannot be held against a name constraint`;
  if (deny.some((base) => touches(name, base))) return `a ${name.type} name is excluded`;
  if (allow && !allow.some((base) => isWithin(name, base))) return `a ${name.type} name is not permitted`;
  return null;
}

/** Whether the name has what constraints of its form speak of; a URI without a host has not (section 4.2.1.10). */
function isComparable(name: GeneralName): boolean {
  switch (name.type) {
    case 'dns':
      return isHostName(wildcardBase(name.value) ?? name.value);
    case 'email':
      return mailboxOf(name.value) !== null;
    case 'uri':
      return uriHost(name.value) !== null;
    case 'ip':
    case 'directoryName':
      return true;
    default:
      return false;
  }
}

/** Whether the base of a subtree is spelt as section 4.2.1.10 wants it. */
function isConstraint(base: GeneralName): boolean {
  switch (base.type) {
    case 'dns':
      return base.value === '' || isHostName(base.value);
    case 'uri':
      return isHostName(base.value.replace(/^\./, ''));
    case 'email':
      return mailboxOf(base.value) !== null || isHostName(base.value.replace(/^\./, ''));
    case 'ip':
      return isPrefixMask(base.value.subarray(base.value.length / 2));
    default:
      return true;
  }
}

/** Ones, then zeros (RFC 4632, section 3.1). */
function isPrefixMask(mask: Buffer): boolean {
  const end = mask.findIndex((octet) => octet !== 0xff);
  if (end < 0) return true;
  // The zeros of an octet like 11100000 make, with one added, a power of two.
  const zeros = ~mask[end]! & 0xff;
  return (zeros & (zeros + 1)) === 0 && mask.subarray(end + 1).every((octet) => octet === 0);
}

/** Whether every name that this one stands for lies in the subtree. */
function isWithin(name: GeneralName, base: GeneralName): boolean {
  // `*.example.com` stands for names one label below: all are within what `example.com` is within.
  if (name.type === 'dns' && base.type === 'dns') {
    return isBelow(wildcardBase(name.value) ?? name.value, base.value);
  }
  return matches(name, base);
}

/** Whether some name that this one stands for lies in the subtree (CVE-2025-61727), or might. */
function touches(name: GeneralName, base: GeneralName): boolean {
  if (name.type === 'dns' && base.type === 'dns') {
    const wildcard = wildcardBase(name.value);
    return (
      isBelow(wildcard ?? name.value, base.value) || (wildcard !== null && isBelow(base.value, wildcard))
    );
  }
  return matches(name, base);
}

function matches(name: GeneralName, base: GeneralName): boolean {
  if (name.type === 'uri' && base.type === 'uri') return isHostOf(uriHost(name.value) ?? '', base.value);
  if (name.type === 'email' && base.type === 'email') return isMailboxOf(mailboxOf(name.value), base.value);
  if (name.type === 'ip' && base.type === 'ip') return isInNetwork(name.value, base.value);
  if (name.type === 'directoryName' && base.type === 'directoryName') {
    return isWithinName(name.value, base.value);
  }
  return false;
}

/** A host, or any with labels before it; the empty one holds all. */
function isBelow(host: string, base: string): boolean {
  const [inner, outer] = [host.toLowerCase(), base.toLowerCase()];
  return outer === '' || inner === outer || inner.endsWith(`.${outer}`);
}

/** A host alone, or with a dot before it those below it alone: for URIs and mail. */
function isHostOf(host: string, base: string): boolean {
  const [inner, outer] = [host.toLowerCase(), base.toLowerCase()];
  return outer.startsWith('.') ? inner.endsWith(outer) && inner.length > outer.length : inner === outer;
}

function isMailboxOf(mailbox: Mailbox | null, base: string): boolean {
  if (!mailbox) return false;
  const one = mailboxOf(base);
  if (!one) return isHostOf(mailbox.host, base);
  return mailbox.local === one.local && isHostOf(mailbox.host, one.host);
}

function isInNetwork(address: Buffer, network: Buffer): boolean {
  const { length } = address;
  return (
    network.length === 2 * length &&
    address.every((octet, at) => (octet & network[length + at]!) === (network[at]! & network[length + at]!))
  );
}
