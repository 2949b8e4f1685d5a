/** A profile: what the certificates of a fleet are like, and how they are renewed. A document, checked when it is written. */
import { Fault } from '#common/fault.ts';
import { parseDuration } from '#common/quantity.ts';
import { type KeyPurpose, keyPurposes, type LeafAttribute } from '../ca/plan.ts';
import { troubleWithAttribute, troubleWithName } from './leaf-names.ts';
import { isConstant, judgeTemplate } from './template.ts';

/** `RSA-n` takes keys of at least n bits. */
export const keyTypes = [
  'P-256',
  'P-384',
  'Ed25519',
  'RSA-2048',
  'RSA-3072',
  'RSA-4096',
  'ML-DSA-44',
  'ML-DSA-65',
] as const;
export type KeyType = (typeof keyTypes)[number];

/** Attributes of a subject that a template may set beside the CN, which is always the device id. */
export const subjectAttributes = [
  'O',
  'OU',
  'L',
  'ST',
  'C',
  'serialNumber',
] as const satisfies readonly LeafAttribute['type'][];
export type SubjectAttribute = (typeof subjectAttributes)[number];

/** As it is written and shown. Durations are texts such as `90d`; values may hold `${device.id}` and its kin. */
export interface ProfileDocument {
  readonly name: string;
  readonly validity: string;
  readonly backdate: string;
  readonly keys: readonly KeyType[];
  readonly subject: readonly { readonly attribute: SubjectAttribute; readonly value: string }[];
  /** Names beside the SPIFFE ID. */
  readonly names: readonly { readonly type: 'uri' | 'dns'; readonly value: string }[];
  readonly purposes: readonly KeyPurpose[];
  /** Most certificates of a device that are good at once. */
  readonly maxCertificates: number;
  /** Renewal begins between `from` and `to` percent of the validity, spread evenly over the fleet. */
  readonly renewal: { readonly from: number; readonly to: number; readonly retireAfter: string };
}

/** As it is used: durations in milliseconds. */
export interface Profile {
  readonly document: ProfileDocument;
  readonly name: string;
  readonly validityMs: number;
  readonly backdateMs: number;
  readonly retireAfterMs: number;
}

export const defaultProfile = (validityMs: number, backdateMs: number): ProfileDocument => ({
  name: 'device',
  validity: `${Math.round(validityMs / 1000)}s`,
  backdate: `${Math.round(backdateMs / 1000)}s`,
  keys: ['P-256', 'P-384', 'Ed25519', 'RSA-2048', 'ML-DSA-44', 'ML-DSA-65'],
  subject: [],
  names: [],
  purposes: ['clientAuth'],
  maxCertificates: 8,
  renewal: { from: 60, to: 80, retireAfter: '1h' },
});

/** Most attributes of a subject beside the CN, and most names beside the SPIFFE ID. */
export const mostTemplates = 8;
const longestTemplateText = 256;

/** Faults `malformed` with the first thing that does not fit. */
export function readProfile(document: ProfileDocument): Profile {
  const { name, validity, backdate, renewal } = document;
  const validityMs = parseDuration(validity);
  const bad = (why: string) => new Fault('malformed', `The profile ${name} does not fit: ${why}.`);
  if (validityMs < 60_000) throw bad('a validity is a minute at least');
  const trouble = troubleWithTerms(document) ?? troubleWithTemplates(document);
  if (trouble) throw bad(trouble);
  return {
    document,
    name,
    validityMs,
    backdateMs: parseDuration(backdate),
    retireAfterMs: parseDuration(renewal.retireAfter),
  };
}

function troubleWithTerms({ keys, purposes, renewal, maxCertificates }: ProfileDocument): string | null {
  if (keys.length === 0 || keys.some((key) => !keyTypes.includes(key)))
    return `keys are some of ${keyTypes.join(', ')}`;
  if (!purposes.includes('clientAuth')) return 'device certificates are for clientAuth';
  if (purposes.some((purpose) => !keyPurposes.includes(purpose))) return 'an unknown purpose';
  if (!(renewal.from > 0 && renewal.from <= renewal.to && renewal.to < 100))
    return 'renewal.from and renewal.to are percents of the validity, in this order';
  if (maxCertificates < 2) return 'maxCertificates is 2 at least: a renewal has the old and the new one';
  return null;
}

/** Constants are checked whole, the others when a device is there to fill them. */
function troubleWithTemplates({ subject, names }: ProfileDocument): string | null {
  if (subject.length > mostTemplates || names.length > mostTemplates)
    return `subject and names have ${mostTemplates} entries at most`;
  for (const { value } of [...subject, ...names]) {
    if (value.length > longestTemplateText) return `"${value.slice(0, 32)}…" is too long`;
    judgeTemplate(value);
  }
  for (const { attribute, value } of subject) {
    if (!subjectAttributes.includes(attribute)) return `a subject has no attribute ${attribute}`;
    const trouble = isConstant(value) ? troubleWithAttribute(attribute, value) : null;
    if (trouble) return `${attribute}=${value} ${trouble}`;
  }
  for (const { type, value } of names) {
    const trouble = isConstant(value) ? troubleWithName(type, value) : null;
    if (trouble) return `the name ${type}:${value} ${trouble}`;
    if (type === 'uri' && !/^[a-z][a-z0-9+.-]*:/.test(value)) return `the scheme of ${value} is constant`;
    if (value.startsWith('spiffe:')) return 'the SPIFFE ID is given to every certificate, and no second one';
  }
  return null;
}
