/** A profile: what the certificates of a fleet are like, and how they are renewed. A document, checked when it is written. */
import { Fault } from '#common/fault.ts';
import { parseDuration } from '#common/quantity.ts';
import { type KeyPurpose, keyPurposes } from '../ca/plan.ts';

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
export const subjectAttributes = ['O', 'OU', 'L', 'ST', 'C', 'serialNumber'] as const;
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

/** Faults `malformed` with the first thing that does not fit. */
export function readProfile(document: ProfileDocument): Profile {
  const { name, validity, backdate, renewal, purposes, maxCertificates } = document;
  const bad = (why: string) => new Fault('malformed', `The profile ${name} does not fit: ${why}.`);
  const validityMs = parseDuration(validity);
  if (validityMs < 60_000) throw bad('a validity is a minute at least');
  if (!purposes.includes('clientAuth')) throw bad('device certificates are for clientAuth');
  if (purposes.some((purpose) => !keyPurposes.includes(purpose))) throw bad('an unknown purpose');
  if (!(renewal.from > 0 && renewal.from <= renewal.to && renewal.to < 100))
    throw bad('renewal.from and renewal.to are percents of the validity, in this order');
  if (maxCertificates < 2) throw bad('maxCertificates is 2 at least: a renewal has the old and the new one');
  return {
    document,
    name,
    validityMs,
    backdateMs: parseDuration(backdate),
    retireAfterMs: parseDuration(renewal.retireAfter),
  };
}
