/** A certificate that was signed, read again by another parser before anybody gets it, and held against its plan. */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { Fault } from '#common/fault.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import type { CertificatePlan, KeyPurpose } from '../ca/plan.ts';

const purposeIds: Record<KeyPurpose, string> = {
  clientAuth: '1.3.6.1.5.5.7.3.2',
  serverAuth: '1.3.6.1.5.5.7.3.1',
};

/** Faults `internal` when it is not what was planned, for this key, by this CA. */
export function compareSigned(der: Buffer, plan: CertificatePlan, publicKey: KeyObject, ca: IssuingCa): void {
  const read = new X509Certificate(der);
  const same =
    read.serialNumber.toLowerCase() === plan.serialNumber &&
    hasSubject(read, plan) &&
    read.subjectAltName === namesText(plan) &&
    read.validFromDate.getTime() === plan.notBeforeMs &&
    read.validToDate.getTime() === plan.notAfterMs &&
    isDeepStrictEqual(
      read.keyUsage,
      plan.purposes.map((purpose) => purposeIds[purpose]),
    ) &&
    !read.ca &&
    read.publicKey.equals(publicKey) &&
    ca.isIssuerOf(read);
  if (!same) throw new Fault('internal', 'The certificate that was signed is not the one that was planned.');
}

/** What Node escapes in the text of a subject is not in the values of an object: the text serves the plain case only. */
function hasSubject(read: X509Certificate, { commonName, subject }: CertificatePlan): boolean {
  if (subject.length === 0) return read.subject === `CN=${commonName}`;
  const expected = new Map<string, string[]>([['CN', [commonName]]]);
  for (const { type, value } of subject) expected.set(type, [...(expected.get(type) ?? []), value]);
  const found = Object.entries(read.toLegacyObject().subject).map(([type, value]) => [
    type,
    typeof value === 'string' ? [value] : value,
  ]);
  return isDeepStrictEqual(new Map(found as [string, string[]][]), expected);
}

/** No value that is planned holds a character that Node would quote: names are checked by their syntax. */
const namesText = ({ uris, dnsNames, addresses }: CertificatePlan): string =>
  [
    ...uris.map((uri) => `URI:${uri}`),
    ...dnsNames.map((name) => `DNS:${name}`),
    ...addresses.map((address) => `IP Address:${address}`),
  ].join(', ');
