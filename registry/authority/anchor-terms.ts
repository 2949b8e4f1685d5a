/** The terms on which a manufacturer's CA is trusted: what is written and shown of an anchor, checked when it is written. */
import type { AnchorMode } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import { parseDuration } from '#common/quantity.ts';
import { type MappingRule, problemOfRule } from './mapping.ts';

/**
 * What is done about revocation by the manufacturer. `hard`: only what is known not to be revoked comes in, up to
 * nextUpdate; `last-good`: the last word holds for `maxStale` longer; `soft`: a revocation counts when it is heard of,
 * silence does not; `none`: nobody is asked.
 */
export const revocationPolicies = ['none', 'soft', 'last-good', 'hard'] as const;
export type RevocationPolicy = (typeof revocationPolicies)[number];

export interface RevocationTerms {
  readonly policy: RevocationPolicy;
  /** Files, or URLs of http and https: one CRL each, of the anchor or of an intermediate below it. */
  readonly crl: readonly string[];
  /** `aia` asks where the certificate itself says; a URL is asked for all; null asks nobody. */
  readonly ocsp: string | null;
  /** A duration, for `last-good`. */
  readonly maxStale: string;
}

/** What a device is like that comes to be at its first connect. */
export interface DeviceTemplate {
  /** Null for the role of its fleet. */
  readonly role: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  /** `pending` waits for an operator. */
  readonly state: 'active' | 'pending';
}

/** The part of an anchor that is kept as its document. */
export interface AnchorTerms {
  readonly mapping: readonly MappingRule[];
  readonly template: DeviceTemplate;
  readonly revocation: RevocationTerms;
  /** PEM of CAs below the anchor: whose CRLs and OCSP answers are to be checked before a device has shown them. */
  readonly intermediates: string;
}

export const defaultTemplate: DeviceTemplate = { role: null, attributes: {}, state: 'active' };
export const noRevocation: RevocationTerms = { policy: 'none', crl: [], ocsp: null, maxStale: '7d' };

/** Faults `malformed` with the first thing that does not fit. */
export function judgeTerms({ mapping, revocation }: AnchorTerms, mode: AnchorMode): void {
  const bad = (why: string) => new Fault('malformed', `These terms do not fit: ${why}.`);
  for (const rule of mapping) {
    const problem = problemOfRule(rule);
    if (problem) throw bad(problem);
  }
  if (mapping.length === 0) throw bad(`without a mapping rule no device can be found (${mode})`);
  const { policy, crl, ocsp } = revocation;
  const asks = crl.length > 0 || ocsp !== null;
  if (policy === 'none' && asks)
    throw bad('the policy "none" asks nobody: leave out crl and ocsp, or choose another');
  if (policy !== 'none' && !asks) throw bad(`the policy "${policy}" needs a crl or ocsp to ask`);
  for (const source of crl)
    if (source.includes('://') && !isWebUrl(source))
      throw bad(`"${source}" is neither a file nor a URL of http`);
  if (ocsp !== null && ocsp !== 'aia' && !isWebUrl(ocsp)) throw bad('ocsp is "aia" or a URL of http');
  parseDuration(revocation.maxStale);
}

const isWebUrl = (text: string): boolean => {
  const url = URL.parse(text);
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:') && url.username === '';
};
