/** The extensions of a certificate (RFC 5280, section 4.2), read once into typed values. What they permit is judged elsewhere. */
import {
  constructed,
  type Der,
  Fields,
  malformed,
  oidOf,
  primitive,
  readDer,
  smallInteger,
  tags,
} from './der.ts';
import { type GeneralName, readGeneralName, readGeneralNames } from './general-name.ts';
import { accessOids, extensionOids as oids } from './object-identifier.ts';

/** In the order of their bits (section 4.2.1.3). */
export const keyUsages = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;
export type KeyUsage = (typeof keyUsages)[number];

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** The contents of extnValue. */
  readonly value: Buffer;
}

/** A typed extension knows whether it was marked critical; null stands for one that is not there. */
type Marked<Value> = (Value & { readonly critical: boolean }) | null;

export interface Extensions {
  /** As written, all of them. */
  readonly list: readonly Extension[];
  readonly basicConstraints: Marked<{ readonly ca: boolean; readonly pathLength: number | null }>;
  readonly keyUsage: Marked<{ readonly usages: readonly KeyUsage[] }>;
  /** Object identifiers. */
  readonly extKeyUsage: Marked<{ readonly purposes: readonly string[] }>;
  readonly subjectAltName: Marked<{ readonly names: readonly GeneralName[] }>;
  readonly issuerAltName: Marked<{ readonly names: readonly GeneralName[] }>;
  /** Empty when the field is not there. */
  readonly nameConstraints: Marked<{
    readonly permitted: readonly GeneralName[];
    readonly excluded: readonly GeneralName[];
  }>;
  /** Lower-case hex. */
  readonly subjectKeyId: Marked<{ readonly keyId: string }>;
  /** `namesIssuer`: it holds authorityCertIssuer or authorityCertSerialNumber, on which nothing is built here. */
  readonly authorityKeyId: Marked<{ readonly keyId: string | null; readonly namesIssuer: boolean }>;
  readonly crlDistributionPoints: Marked<{ readonly uris: readonly string[] }>;
  readonly authorityInfoAccess: Marked<{
    readonly ocsp: readonly string[];
    readonly caIssuers: readonly string[];
  }>;
  /** Object identifiers; qualifiers are for people. */
  readonly certificatePolicies: Marked<{ readonly policies: readonly string[] }>;
  readonly policyConstraints: Marked<{ readonly requireExplicitPolicy: number | null }>;
  /** Object identifiers of critical extensions that this reader does not know. */
  readonly unknownCritical: readonly string[];
}

/** More than any certificate in use; each is looked at a handful of times. */
export const maxExtensions = 64;

type Typed = Omit<Extensions, 'list' | 'unknownCritical'>;
type Reader = (value: Der) => unknown;

/** One reader for each extension with a typed value. */
const readers = new Map<string, [keyof Typed, Reader]>([
  [oids.basicConstraints, ['basicConstraints', readBasicConstraints]],
  [oids.keyUsage, ['keyUsage', readKeyUsage]],
  [oids.extKeyUsage, ['extKeyUsage', (value) => ({ purposes: readOids(value, 'extKeyUsage') })]],
  [oids.subjectAltName, ['subjectAltName', (value) => ({ names: readGeneralNames(value) })]],
  [oids.issuerAltName, ['issuerAltName', (value) => ({ names: readGeneralNames(value) })]],
  [oids.nameConstraints, ['nameConstraints', readNameConstraints]],
  [oids.subjectKeyId, ['subjectKeyId', readSubjectKeyId]],
  [oids.authorityKeyId, ['authorityKeyId', readAuthorityKeyId]],
  [oids.crlDistributionPoints, ['crlDistributionPoints', readDistributionPoints]],
  [oids.authorityInfoAccess, ['authorityInfoAccess', readAccess]],
  [oids.certificatePolicies, ['certificatePolicies', readPolicies]],
  [oids.policyConstraints, ['policyConstraints', readPolicyConstraints]],
]);

/** Known, and without effect on a path that asks for no policy (sections 4.2.1.5, 4.2.1.14 and 6.1.5). */
const passedOver: ReadonlySet<string> = new Set([oids.policyMappings, oids.inhibitAnyPolicy]);

const nothing: Typed = {
  basicConstraints: null,
  keyUsage: null,
  extKeyUsage: null,
  subjectAltName: null,
  issuerAltName: null,
  nameConstraints: null,
  subjectKeyId: null,
  authorityKeyId: null,
  crlDistributionPoints: null,
  authorityInfoAccess: null,
  certificatePolicies: null,
  policyConstraints: null,
};

/**
 * `element` is the SEQUENCE below `[3]`, or null. Faults `certificate-malformed` (`extension`, `duplicate-extension`,
 * `general-name`, `encoding`).
 */
export function readExtensions(element: Der | null): Extensions {
  if (!element) return Object.freeze({ ...nothing, list: [], unknownCritical: [] });
  const count = element.items.length;
  if (element.tag !== tags.sequence || count === 0 || count > maxExtensions) {
    throw malformed('extension', `there are no extensions, or more than ${maxExtensions}`);
  }
  const list = element.items.map(readExtension);
  const typed: Record<string, unknown> = {};
  const seen = new Set<string>();
  const unknownCritical: string[] = [];
  for (const { oid, critical, value } of list) {
    if (seen.has(oid)) throw malformed('duplicate-extension', `the extension ${oid} occurs twice`);
    seen.add(oid);
    const reader = readers.get(oid);
    if (reader) typed[reader[0]] = Object.freeze({ critical, ...(reader[1](readDer(value)) as object) });
    else if (critical && !passedOver.has(oid)) unknownCritical.push(oid);
  }
  return Object.freeze({
    ...nothing,
    ...(typed as Partial<Typed>),
    list: Object.freeze(list),
    unknownCritical: Object.freeze(unknownCritical),
  });
}

function readExtension(element: Der): Extension {
  const fields = new Fields(element, 'an extension');
  const oid = oidOf(fields.take(tags.oid, 'id'));
  const critical = readDefaultFalse(fields);
  const value = fields.take(tags.octetString, 'value').body;
  fields.end();
  return Object.freeze({ oid, critical, value });
}

/** A BOOLEAN DEFAULT FALSE; DER leaves a default value out (X.690, section 11.5). */
function readDefaultFalse(fields: Fields): boolean {
  const written = fields.takeIf(tags.boolean);
  if (written && written.body[0] === 0) throw malformed('encoding', 'a default value is written out');
  return written !== null;
}

function readBasicConstraints(value: Der) {
  const fields = new Fields(value, 'basicConstraints');
  const ca = readDefaultFalse(fields);
  const written = fields.takeIf(tags.integer);
  fields.end();
  return { ca, pathLength: written && smallInteger(written, 'a path length') };
}

/** A named bit list: zero bits at its end are left out (X.690, section 11.2.2), and one bit at least is set. */
function readKeyUsage(value: Der) {
  const { tag, body } = value;
  const unused = body[0] ?? 0;
  const last = body[body.length - 1] ?? 0;
  if (tag !== tags.bitString || body.length < 2 || body.length > 3 || ((last >> unused) & 1) === 0) {
    throw malformed('extension', 'keyUsage is odd');
  }
  const usages = keyUsages.filter((_, bit) => ((body[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0);
  return { usages: Object.freeze(usages) };
}

function readOids(value: Der, what: string): readonly string[] {
  if (
    value.tag !== tags.sequence ||
    value.items.length === 0 ||
    value.items.some(({ tag }) => tag !== tags.oid)
  ) {
    throw malformed('extension', `${what} is empty or odd`);
  }
  return Object.freeze(value.items.map(oidOf));
}

/** Section 4.2.1.10: `minimum` is 0, thus not written, and `maximum` is not there. */
function readNameConstraints(value: Der) {
  const fields = new Fields(value, 'nameConstraints');
  const permitted = readSubtrees(fields.takeIf(constructed(0)));
  const excluded = readSubtrees(fields.takeIf(constructed(1)));
  fields.end();
  if (permitted.length + excluded.length === 0) throw malformed('extension', 'nameConstraints is empty');
  return { permitted, excluded };
}

function readSubtrees(element: Der | null): readonly GeneralName[] {
  if (!element) return [];
  if (element.items.length === 0) throw malformed('extension', 'nameConstraints has an empty list');
  return Object.freeze(
    element.items.map((item) => {
      const fields = new Fields(item, 'a name constraint');
      const base = readGeneralName(fields.any('base'), 'constraint');
      fields.end();
      return base;
    }),
  );
}

const maxKeyIdBytes = 64;

function keyIdOf({ body }: Der): string {
  if (body.length === 0 || body.length > maxKeyIdBytes)
    throw malformed('extension', 'a key identifier is odd');
  return body.toString('hex');
}

function readSubjectKeyId(value: Der) {
  if (value.tag !== tags.octetString) throw malformed('extension', 'subjectKeyIdentifier is odd');
  return { keyId: keyIdOf(value) };
}

function readAuthorityKeyId(value: Der) {
  const fields = new Fields(value, 'authorityKeyIdentifier');
  const keyId = fields.takeIf(primitive(0));
  const issuer = fields.takeIf(constructed(1));
  const serial = fields.takeIf(primitive(2));
  fields.end();
  // Both or neither (section 4.2.1.1).
  if ((issuer === null) !== (serial === null)) throw malformed('extension', 'authorityKeyIdentifier is odd');
  if (issuer) readGeneralNames(issuer, constructed(1));
  return { keyId: keyId && keyIdOf(keyId), namesIssuer: issuer !== null };
}

/** The URIs under which the whole CRL is found; partitions by reason and indirect CRLs are passed over. */
function readDistributionPoints(value: Der) {
  if (value.tag !== tags.sequence || value.items.length === 0) {
    throw malformed('extension', 'cRLDistributionPoints is empty');
  }
  const uris = value.items.flatMap((item) => {
    const fields = new Fields(item, 'a distribution point');
    const point = fields.takeIf(constructed(0));
    const reasons = fields.takeIf(primitive(1));
    const issuer = fields.takeIf(constructed(2));
    fields.end();
    const full = point?.items[0];
    if (point && (point.items.length !== 1 || ![constructed(0), constructed(1)].includes(full!.tag))) {
      throw malformed('extension', 'a distribution point is odd');
    }
    if (!point && !issuer) throw malformed('extension', 'a distribution point is empty');
    if (full?.tag !== constructed(0)) return [];
    const names = readGeneralNames(full, constructed(0));
    return reasons || issuer ? [] : urisOf(names);
  });
  return { uris: Object.freeze(uris) };
}

const urisOf = (names: readonly GeneralName[]): string[] =>
  names.flatMap((name) => (name.type === 'uri' ? [name.value] : []));

function readAccess(value: Der) {
  if (value.tag !== tags.sequence || value.items.length === 0) {
    throw malformed('extension', 'authorityInfoAccess is empty or odd');
  }
  const access = value.items.map((item) => {
    const fields = new Fields(item, 'an access description');
    const method = oidOf(fields.take(tags.oid, 'method'));
    const location = readGeneralName(fields.any('location'));
    fields.end();
    return { method, uris: urisOf([location]) };
  });
  const by = (oid: string) =>
    Object.freeze(access.filter(({ method }) => method === oid).flatMap(({ uris }) => uris));
  return { ocsp: by(accessOids.ocsp), caIssuers: by(accessOids.caIssuers) };
}

function readPolicies(value: Der) {
  if (value.tag !== tags.sequence || value.items.length === 0) {
    throw malformed('extension', 'certificatePolicies is empty');
  }
  const policies = value.items.map((item) => {
    const fields = new Fields(item, 'a policy');
    const oid = oidOf(fields.take(tags.oid, 'identifier'));
    fields.takeIf(tags.sequence);
    fields.end();
    return oid;
  });
  // Section 4.2.1.4.
  if (new Set(policies).size !== policies.length) throw malformed('extension', 'a policy occurs twice');
  return { policies: Object.freeze(policies) };
}

function readPolicyConstraints(value: Der) {
  const fields = new Fields(value, 'policyConstraints');
  const explicit = fields.takeIf(primitive(0));
  const inhibit = fields.takeIf(primitive(1));
  fields.end();
  if (!explicit && !inhibit) throw malformed('extension', 'policyConstraints is empty');
  return { requireExplicitPolicy: explicit && smallInteger(explicit, 'a number of certificates') };
}
