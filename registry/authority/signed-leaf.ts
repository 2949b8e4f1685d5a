/** A certificate that was signed, read again by another parser before anybody gets it, and held against its plan. */
import { X509Certificate } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { Fault } from '#common/fault.ts';
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import { purposeOids } from '#common/x509/object-identifier.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import { attributeIds, type CertificatePlan } from '../ca/plan.ts';

/** Faults `internal` when it is not what was planned, for this key (SubjectPublicKeyInfo in DER), by this CA. */
export function compareSigned(der: Buffer, plan: CertificatePlan, publicKey: Buffer, ca: IssuingCa): void {
  const read = readCertificate(der);
  const same =
    isDeepStrictEqual(factsOf(read), factsOfPlan(plan)) &&
    read.spki.equals(publicKey) &&
    ca.isIssuerOf(new X509Certificate(der));
  if (!same) throw new Fault('internal', 'The certificate that was signed is not the one that was planned.');
}

/** All that a plan says, as it stands in the certificate; and that it is no CA, and asks nothing new of its readers. */
function factsOf({ serialNumber, subject, notBeforeMs, notAfterMs, extensions }: Certificate) {
  return {
    serialNumber,
    subject: subject.rdns.map((rdn) => rdn.map(({ oid, value }) => [oid, value])),
    notBeforeMs,
    notAfterMs,
    names: extensions.subjectAltName?.names.map((name) => [name.type, name.value]),
    purposes: extensions.extKeyUsage?.purposes,
    usages: extensions.keyUsage?.usages,
    isCa: extensions.basicConstraints?.ca,
    unknownCritical: extensions.unknownCritical.length,
  };
}

function factsOfPlan(plan: CertificatePlan): ReturnType<typeof factsOf> {
  return {
    serialNumber: plan.serialNumber,
    subject: [
      [[attributeIds.CN, plan.commonName]],
      ...plan.subject.map(({ type, value }) => [[attributeIds[type], value]]),
    ],
    notBeforeMs: plan.notBeforeMs,
    notAfterMs: plan.notAfterMs,
    names: [
      ...plan.uris.map((value) => ['uri', value] as ['uri', string]),
      ...plan.dnsNames.map((value) => ['dns', value] as ['dns', string]),
    ],
    purposes: plan.purposes.map((purpose) => purposeOids[purpose]),
    usages: ['digitalSignature'],
    isCa: false,
    unknownCritical: 0,
  };
}
