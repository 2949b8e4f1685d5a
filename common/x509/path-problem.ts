/** Why a certificate is not trusted: a closed list of words, one for each way in which a path can fail. */

export const pathProblems = [
  // the set as a whole
  'no-path',
  'too-long',
  'too-much-work',
  // the leaf
  'leaf-is-anchor',
  'self-issued-leaf',
  'leaf-profile',
  'extended-key-usage',
  // any certificate
  'signature',
  'expired',
  'not-yet-valid',
  'version',
  'serial-number',
  'empty-name',
  'alternative-name',
  'unknown-critical-extension',
  'extension-criticality',
  'key-identifier',
  'policy-constraints',
  // its issuers
  'not-a-ca',
  'key-usage',
  'path-length',
  'name-constraints',
  // keys and signatures
  'algorithm',
  'weak-key',
  'key-too-large',
  'weak-signature',
] as const;
export type PathProblem = (typeof pathProblems)[number];

export interface Refusal {
  readonly problem: PathProblem;
  /** Says of which certificate, for people. */
  readonly detail: string;
}

/** A refusal, for `??` chains of checks: null when the condition holds. */
export const unless = (holds: boolean, problem: PathProblem, detail: string): Refusal | null =>
  holds ? null : { problem, detail };
