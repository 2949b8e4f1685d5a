/**
 * What each certificate of a path must be by itself (RFC 5280, section 4), as a leaf, an issuer and an anchor. Where
 * C2SP/x509-limbo is stricter than the RFC's letter, this file is as strict, and says so.
 */
import type { Certificate } from './certificate.ts';
import { misspelling } from './host-name.ts';
import { isEmptyName, isSameName } from './name.ts';
import { extensionOids, purposeOids } from './object-identifier.ts';
import { type Refusal, unless } from './path-problem.ts';
import { judgeKey } from './public-key.ts';
import { isSigned } from './signed.ts';

/** What a leaf is asked for beyond the rules that hold for all. */
export interface LeafDemands {
  /** A leaf without extendedKeyUsage is refused. IEEE 802.1AR identities may be without, and may then only enroll. */
  readonly requireClientAuth: boolean;
}

/** Extensions that must not be critical (sections 4.2.1.1, 4.2.1.2, 4.2.2.1, 4.2.2.2, 4.2.1.15). */
const neverCritical: readonly string[] = [
  extensionOids.authorityKeyId,
  extensionOids.subjectKeyId,
  extensionOids.authorityInfoAccess,
  extensionOids.subjectInfoAccess,
  extensionOids.freshestCrl,
];
/** Extensions that must be (sections 4.2.1.10, 4.2.1.11, 4.2.1.14). */
const alwaysCritical: readonly string[] = [
  extensionOids.nameConstraints,
  extensionOids.policyConstraints,
  extensionOids.inhibitAnyPolicy,
];

/** The leaf of a device: no CA, may sign a handshake, is meant for clientAuth in so many words, is well named. */
export function judgeLeaf(leaf: Certificate, { requireClientAuth }: LeafDemands): Refusal | null {
  const { basicConstraints, keyUsage, extKeyUsage, nameConstraints, subjectAltName } = leaf.extensions;
  const purposes = extKeyUsage?.purposes ?? null;
  return (
    judgeAny(leaf) ??
    judgeSerialNumber(leaf) ??
    judgeIssuerKeyId(leaf) ??
    unless(!basicConstraints?.ca, 'leaf-profile', 'the certificate is that of a CA') ??
    unless(basicConstraints?.pathLength == null, 'leaf-profile', 'the certificate has a path length') ??
    unless(
      !keyUsage?.usages.includes('keyCertSign'),
      'leaf-profile',
      'the key of the certificate is meant to sign certificates',
    ) ??
    // Signing the handshake needs it (RFC 8446, section 4.4.2.2); what is for key agreement alone is no device's.
    unless(
      !keyUsage || keyUsage.usages.includes('digitalSignature'),
      'leaf-profile',
      'the key of the certificate is not meant for digital signatures',
    ) ??
    unless(
      !nameConstraints,
      'name-constraints',
      'the certificate has name constraints, which belong in those of a CA',
    ) ??
    unless(
      purposes !== null || !requireClientAuth,
      'extended-key-usage',
      'the certificate does not say that it is meant for clientAuth',
    ) ??
    // anyExtendedKeyUsage is a grant of everything to everybody: CA/Browser Forum 7.1.2.7.10 forbids it too.
    unless(
      purposes === null || (purposes.includes(purposeOids.clientAuth) && !purposes.includes(purposeOids.any)),
      'extended-key-usage',
      'the certificate is not meant for clientAuth in so many words',
    ) ??
    // Limbo, after CA/Browser Forum 7.1.2.7.6.
    unless(
      !extKeyUsage?.critical,
      'extension-criticality',
      'the extendedKeyUsage of the certificate is critical',
    ) ??
    judgeNaming(leaf, subjectAltName)
  );
}

/** Section 4.2.1.6: without a subject, the alternative names are critical; limbo: else they are not. */
function judgeNaming(
  leaf: Certificate,
  alternative: Certificate['extensions']['subjectAltName'],
): Refusal | null {
  const empty = isEmptyName(leaf.subject);
  if (empty && !alternative) {
    return { problem: 'empty-name', detail: 'the certificate has neither a subject nor alternative names' };
  }
  if (alternative && alternative.critical !== empty) {
    const detail = 'the subjectAltName of the certificate is critical exactly when it has no subject';
    return { problem: 'extension-criticality', detail };
  }
  for (const name of alternative?.names ?? []) {
    const wrong = misspelling(name);
    if (wrong) return { problem: 'alternative-name', detail: `${wrong}` };
  }
  return null;
}

/** A certificate that signs certificates (sections 4.2.1.3, 4.2.1.9), below an anchor. */
export function judgeIntermediate(ca: Certificate): Refusal | null {
  const purposes = ca.extensions.extKeyUsage?.purposes ?? null;
  return (
    judgeAny(ca) ??
    judgeSerialNumber(ca) ??
    judgeIssuerKeyId(ca) ??
    judgeIssuer(ca) ??
    // An extendedKeyUsage of a CA bounds what it may issue for, as every implementation reads section 4.2.1.12.
    unless(
      purposes === null || purposes.includes(purposeOids.clientAuth) || purposes.includes(purposeOids.any),
      'extended-key-usage',
      'an issuer may not issue for clientAuth',
    )
  );
}

/**
 * A trust anchor is a name, a key, and the constraints that its certificate states, its validity among them (limbo):
 * an expired anchor verifies nothing. Its serial number and the signature on it are not judged: it was not trusted for
 * these. Limbo, after CA/Browser Forum 7.1.2.1: no extendedKeyUsage, and an authorityKeyIdentifier that names
 * itself by key alone.
 */
export function judgeAnchor(anchor: Certificate): Refusal | null {
  const { authorityKeyId, extKeyUsage, subjectKeyId } = anchor.extensions;
  const selfIssued = isSameName(anchor.issuer, anchor.subject);
  return (
    judgeAny(anchor) ??
    judgeIssuer(anchor) ??
    (authorityKeyId === null && isSigned(anchor, anchor) ? null : judgeIssuerKeyId(anchor)) ??
    unless(!extKeyUsage || !selfIssued, 'extended-key-usage', 'a root has an extendedKeyUsage') ??
    unless(
      !selfIssued ||
        !authorityKeyId ||
        (authorityKeyId.keyId === subjectKeyId?.keyId && !authorityKeyId.namesIssuer),
      'key-identifier',
      'the authorityKeyIdentifier of a root does not name its own key, or not by the key alone',
    )
  );
}

function judgeIssuer(ca: Certificate): Refusal | null {
  const { basicConstraints, keyUsage, subjectKeyId } = ca.extensions;
  return (
    unless(basicConstraints?.ca === true, 'not-a-ca', 'an issuer is no CA') ??
    unless(
      basicConstraints!.critical,
      'extension-criticality',
      'the basicConstraints of an issuer is not critical',
    ) ??
    unless(
      !keyUsage || keyUsage.usages.includes('keyCertSign'),
      'key-usage',
      'the key of an issuer is not meant to sign certificates',
    ) ??
    unless(!isEmptyName(ca.subject), 'empty-name', 'an issuer has no subject') ??
    unless(subjectKeyId !== null, 'key-identifier', 'an issuer has no subjectKeyIdentifier')
  );
}

function judgeAny(certificate: Certificate): Refusal | null {
  const { extensions, key, version, issuer } = certificate;
  const [unknown] = extensions.unknownCritical;
  return (
    unless(version === 3, 'version', 'a certificate is not of version 3') ??
    judgeKey(key) ??
    unless(
      unknown === undefined,
      'unknown-critical-extension',
      `a certificate has the critical extension ${unknown}, which is not known here`,
    ) ??
    judgeCriticality(certificate) ??
    unless(!isEmptyName(issuer), 'empty-name', 'a certificate has no issuer') ??
    // No policy tree is built here (CVE-2023-0464), so a path that demands one cannot be trusted.
    unless(
      extensions.policyConstraints?.requireExplicitPolicy == null,
      'policy-constraints',
      'a certificate demands an explicit policy, which is not supported',
    )
  );
}

/** Section 4.2.1.1: only a certificate that its own key has signed may leave it out. */
const judgeIssuerKeyId = ({ extensions: { authorityKeyId } }: Certificate): Refusal | null =>
  unless(
    authorityKeyId !== null && authorityKeyId.keyId !== null,
    'key-identifier',
    'a certificate has no authorityKeyIdentifier, or one that names no key',
  );

function judgeCriticality({ extensions }: Certificate): Refusal | null {
  for (const { oid, critical } of extensions.list) {
    if (critical ? neverCritical.includes(oid) : alwaysCritical.includes(oid)) {
      const detail = `the extension ${oid} of a certificate ${critical ? 'is' : 'is not'} critical`;
      return { problem: 'extension-criticality', detail };
    }
  }
  return null;
}

/** Section 4.1.2.2: positive, of at most 20 octets; the first octet of a larger one would be the 21st. */
function judgeSerialNumber({ serialNumber }: Certificate): Refusal | null {
  const octets = serialNumber.length / 2 + (Number.parseInt(serialNumber.slice(0, 2), 16) >= 0x80 ? 1 : 0);
  return unless(
    !serialNumber.startsWith('-') && serialNumber !== '00' && octets <= 20,
    'serial-number',
    'the serial number of a certificate is not positive, or above 20 octets',
  );
}

/** Inclusive at both ends, to the second (section 4.1.2.5). */
export function judgeValidity({ notBeforeMs, notAfterMs }: Certificate, nowMs: number): Refusal | null {
  const second = Math.floor(nowMs / 1000) * 1000;
  return (
    unless(second >= notBeforeMs, 'not-yet-valid', 'a certificate is not valid yet') ??
    unless(second <= notAfterMs, 'expired', 'a certificate has expired')
  );
}
