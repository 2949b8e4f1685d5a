/** What a CSR must be like: every refusal a named fault, then one function that reads as the policy. Pure. */
import { Fault } from '#common/fault.ts';
import { purposeOids } from '#common/x509/object-identifier.ts';
import type { KeyPurpose } from '../ca/plan.ts';
import type { Csr, SubjectValue } from './csr.ts';
import { judgeKey } from './key-policy.ts';
import type { KeyType } from './profile.ts';

/** What the certificate will be like; a CSR may ask for that, or for less. */
export interface CsrTerms {
  readonly keys: readonly KeyType[];
  /** The whole subject that will be given; null where whatever the CSR says of it is ignored. */
  readonly subject: readonly SubjectValue[] | null;
  /** As `type:value`. */
  readonly names: readonly string[];
  readonly purposes: readonly KeyPurpose[];
}

const refusals = {
  signature: () =>
    new Fault(
      'csr-signature',
      'The signature of the CSR does not verify: whoever sent it has not shown to hold the key.',
    ),
  subject: (subject: readonly SubjectValue[]) =>
    new Fault(
      'csr-subject',
      `The CSR asks for another subject; it may ask for ${subject.map(({ type, value }) => `${type}=${value}`).join(', ')}, for the CN alone, or for nothing.`,
    ),
  names: (names: readonly string[]) =>
    new Fault(
      'csr-san',
      `The CSR may ask for no subject alternative name but ${names.join(', ') || 'none at all'}.`,
    ),
  usage: (purposes: readonly KeyPurpose[]) =>
    new Fault(
      'csr-usage',
      `The certificate is for ${purposes.join(' and ')}; the CSR asks for another extended key usage.`,
    ),
  ca: () => new Fault('csr-ca-requested', 'A device certificate never signs others; the CSR asks for a CA.'),
};

/** Faults `csr-…` with the first rule that the CSR breaks. */
export function judgeCsr(csr: Csr, terms: CsrTerms): void {
  judgeKey(csr, terms.keys);
  if (!csr.possessed) throw refusals.signature();
  if (terms.subject && !isPartOf(csr.subject.map(textOf), terms.subject.map(textOf)))
    throw refusals.subject(terms.subject);
  if (csr.names.some((name) => !terms.names.includes(name))) throw refusals.names(terms.names);
  if (csr.asksForCa) throw refusals.ca();
  const purposes: string[] = terms.purposes.map((purpose) => purposeOids[purpose]);
  if (csr.purposes.some((purpose) => !purposes.includes(purpose))) throw refusals.usage(terms.purposes);
}

const textOf = ({ type, value }: SubjectValue): string => `${type}=${value}`;

/** Every one of `asked` is given, none more often than it is given. */
function isPartOf(asked: readonly string[], given: readonly string[]): boolean {
  const left = [...given];
  return asked.every((each) => {
    const at = left.indexOf(each);
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}
