/** Whether a certificate that somebody else signed can be that of our issuing CA: plain facts in, every objection out. */
import 'reflect-metadata';
import type { KeyObject, X509Certificate } from 'node:crypto';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate as ParsedCertificate,
} from '@peculiar/x509';
import { parseTimestamp, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';

export interface IssuingCandidate {
  readonly issuing: X509Certificate;
  readonly root: X509Certificate;
  /** Of the key that waits for the certificate. */
  readonly publicKey: KeyObject;
  readonly nowMs: number;
}

/** Sentences, none when it is good (RFC 5280, sections 4.2.1.3 and 4.2.1.9). */
export function judgeIssuing({ issuing, root, publicKey, nowMs }: IssuingCandidate): string[] {
  const { pathLength, usages } = constraintsOf(issuing);
  const objections: [boolean, string][] = [
    [
      !issuing.publicKey.equals(publicKey),
      'it is for another key; have the CSR signed that was made here ("fleetgate ca csr", "fleetgate issuers show")',
    ],
    [!issuing.ca, 'it is no CA certificate (CA:TRUE is missing); sign it with an extension for CAs'],
    [
      pathLength !== 0,
      `its path length is ${pathLength ?? 'unbounded'}; it has to be 0, so that no CA stands below it`,
    ],
    [
      (usages & KeyUsageFlags.keyCertSign) === 0 || (usages & KeyUsageFlags.cRLSign) === 0,
      'its key usage lacks keyCertSign or cRLSign',
    ],
    [issuing.subject === undefined, 'it has no subject, so nothing can name it as issuer'],
    [!issuing.checkIssued(root), 'it does not name the root as its issuer'],
    [!issuing.verify(root.publicKey), 'its signature is not by the key of the root'],
    [weak(issuing), `its signature algorithm ${issuing.signatureAlgorithm} is too weak`],
    ...validity('it', issuing, nowMs),
    [
      !root.ca || !root.checkIssued(root) || !root.verify(root.publicKey),
      'the root is no self-signed CA certificate; an issuing CA stands directly below its root',
    ],
    ...validity('the root', root, nowMs),
  ];
  return objections.filter(([holds]) => holds).map(([, sentence]) => sentence);
}

/** Faults `malformed` with every objection. */
export function acceptIssuing(candidate: IssuingCandidate): void {
  const objections = judgeIssuing(candidate);
  if (objections.length === 0) return;
  throw new Fault(
    'malformed',
    `This cannot be the certificate of the issuing CA: ${objections.join('; ')}.`,
    { fields: { objections } },
  );
}

function constraintsOf(certificate: X509Certificate): { pathLength: number | undefined; usages: number } {
  const parsed = new ParsedCertificate(certificate.raw);
  return {
    pathLength: parsed.getExtension(BasicConstraintsExtension)?.pathLength,
    usages: parsed.getExtension(KeyUsagesExtension)?.usages ?? 0,
  };
}

/** SHA-1 and MD5 are refused by every relying party there is. */
const weak = ({ signatureAlgorithm }: X509Certificate): boolean =>
  /sha-?1(?!\d)|md[245]/i.test(signatureAlgorithm ?? '');

function validity(what: string, { validFrom, validTo }: X509Certificate, nowMs: number): [boolean, string][] {
  const [fromMs, toMs] = [parseTimestamp(validFrom), parseTimestamp(validTo)];
  return [
    [!(fromMs <= nowMs), `${what} is not valid before ${timestamp(fromMs)}`],
    [!(nowMs < toMs), `${what} is not valid since ${timestamp(toMs)}`],
  ];
}
