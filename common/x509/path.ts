/**
 * Certification paths (RFC 5280, section 6.1): from a device's certificate, over the intermediates that it sent, to one
 * of the anchors given. Pure, and bounded in every direction: what a hostile set of certificates can cost is a number.
 *
 * A path is first found by names and key identifiers, then judged from the anchor down, so that no key is used that
 * the anchor has not vouched for.
 */
import type { Certificate } from './certificate.ts';
import {
  judgeAnchor,
  judgeIntermediate,
  judgeLeaf,
  judgeValidity,
  type LeafDemands,
} from './certificate-profile.ts';
import { isSameName } from './name.ts';
import { judgeNames, type Work } from './name-constraints.ts';
import { type PathProblem, type Refusal, unless } from './path-problem.ts';
import { fitsKey } from './signature-algorithm.ts';
import { isSigned } from './signed.ts';

export interface PathLimits extends LeafDemands {
  /** Certificates beside the leaf that may be sent at all. */
  readonly maxIntermediates: number;
  /** Issuers between leaf and anchor, those that issued to themselves not counted (section 4.2.1.9). */
  readonly maxDepth: number;
  readonly maxSignatures: number;
  /** Issuers looked at while paths are searched. */
  readonly maxSteps: number;
  /** Names times name constraints. */
  readonly maxComparisons: number;
}

/** A P-521 signature takes about a millisecond to verify on a slow machine; a refusal stays within 50. */
export const pathLimits: PathLimits = {
  requireClientAuth: true,
  maxIntermediates: 16,
  maxDepth: 8,
  maxSignatures: 24,
  maxSteps: 256,
  maxComparisons: 16_384,
};

export interface PathAsk {
  readonly leaf: Certificate;
  /** As sent, in any order; those that lead nowhere are passed over. */
  readonly intermediates: readonly Certificate[];
  /** Several may have one subject: they are told apart by key identifier, and by signature. */
  readonly anchors: readonly Certificate[];
  readonly nowMs: number;
  readonly limits?: Partial<PathLimits>;
}

export type PathOutcome =
  | {
      readonly trusted: true;
      /** From the leaf to the anchor, both included. */
      readonly path: readonly Certificate[];
      readonly anchor: Certificate;
      /** When the first certificate of the path ends. */
      readonly notAfterMs: number;
    }
  | ({ readonly trusted: false } & Refusal);

/** Never throws. The first path that holds is the answer; else what was wrong with the one that came nearest. */
export function validatePath({ leaf, intermediates, anchors, nowMs, limits }: PathAsk): PathOutcome {
  const search = new Search(anchors, intermediates, nowMs, { ...pathLimits, ...limits });
  const refusal = search.judgeAsk(leaf) ?? search.from([leaf], 0);
  if (refusal) return { trusted: false, ...refusal };
  const path = search.found;
  const notAfterMs = Math.min(...path.map((certificate) => certificate.notAfterMs));
  return { trusted: true, path, anchor: path.at(-1)!, notAfterMs };
}

/** How much a refusal says: a signature that does not match is less than a rule that a signed path breaks. */
const weight = (problem: PathProblem): number =>
  problem === 'no-path' ? 0 : problem === 'signature' ? 1 : 2;
const heavier = (one: Refusal, other: Refusal): Refusal =>
  weight(other.problem) > weight(one.problem) ? other : one;

const isSelfIssued = (certificate: Certificate): boolean =>
  isSameName(certificate.issuer, certificate.subject);

/** One validation: the candidates, what was found of them, and what is left of each limit. */
class Search {
  found: readonly Certificate[] = [];
  readonly #anchors: readonly Certificate[];
  readonly #intermediates: readonly Certificate[];
  readonly #nowMs: number;
  readonly #limits: PathLimits;
  readonly #work: Work;
  /** Issuers by what they have been found to have signed. */
  readonly #signed = new Map<Certificate, Map<Certificate, Refusal | null>>();
  #signatures: number;
  #steps: number;

  constructor(
    anchors: readonly Certificate[],
    intermediates: readonly Certificate[],
    nowMs: number,
    limits: PathLimits,
  ) {
    this.#anchors = anchors;
    this.#intermediates = intermediates;
    this.#nowMs = nowMs;
    this.#limits = limits;
    this.#work = { comparisons: limits.maxComparisons };
    this.#signatures = limits.maxSignatures;
    this.#steps = limits.maxSteps;
  }

  /** What can be said without a path. */
  judgeAsk(leaf: Certificate): Refusal | null {
    const count = this.#intermediates.length;
    const { maxIntermediates } = this.#limits;
    return (
      unless(
        count <= maxIntermediates,
        'too-long',
        `${count} intermediates were sent, above ${maxIntermediates}`,
      ) ??
      unless(
        !this.#anchors.some(({ der }) => der.equals(leaf.der)),
        'leaf-is-anchor',
        'the certificate is itself a trust anchor, and no device',
      ) ??
      unless(!isSelfIssued(leaf), 'self-issued-leaf', 'the certificate names itself as its issuer') ??
      judgeLeaf(leaf, this.#limits) ??
      judgeValidity(leaf, this.#nowMs)
    );
  }

  /** Looks for a path on from the last of `path`, of which `depth` issuers count. Null when `found` is one. */
  from(path: readonly Certificate[], depth: number): Refusal | null {
    const last = path.at(-1)!;
    let refusal: Refusal = { problem: 'no-path', detail: 'it does not lead to a trust anchor' };
    for (const anchor of this.#anchors) {
      if (!this.#mayIssue(anchor, last)) continue;
      const wrong = this.#step() ?? this.#judge([...path, anchor]);
      if (!wrong) return null;
      refusal = heavier(refusal, wrong);
      if (wrong.problem === 'too-much-work') return wrong;
    }
    for (const issuer of this.#intermediates) {
      if (!this.#mayIssue(issuer, last) || path.some((each) => isSameEntity(each, issuer))) continue;
      const deeper = depth + (isSelfIssued(issuer) ? 0 : 1);
      const wrong =
        this.#step() ??
        (deeper > this.#limits.maxDepth || path.length > this.#limits.maxIntermediates
          ? { problem: 'too-long' as const, detail: `a path is longer than ${this.#limits.maxDepth} issuers` }
          : this.from([...path, issuer], deeper));
      if (!wrong) return null;
      refusal = heavier(refusal, wrong);
      if (wrong.problem === 'too-much-work') return wrong;
    }
    return refusal;
  }

  /** By name, and by key identifier when both state one; not when the signature is known not to match. */
  #mayIssue(issuer: Certificate, subject: Certificate): boolean {
    const wanted = subject.extensions.authorityKeyId?.keyId;
    const offered = issuer.extensions.subjectKeyId?.keyId;
    return (
      isSameName(issuer.subject, subject.issuer) &&
      (wanted == null || offered === undefined || wanted === offered) &&
      !this.#signed.get(issuer)?.get(subject)
    );
  }

  #step(): Refusal | null {
    return unless(
      --this.#steps >= 0,
      'too-much-work',
      'there are too many ways from the certificate to an anchor',
    );
  }

  /** A whole path, from its anchor down (section 6.1.3 and 6.1.4). */
  #judge(path: readonly Certificate[]): Refusal | null {
    const anchor = path.at(-1)!;
    const refusal = judgeAnchor(anchor) ?? judgeValidity(anchor, this.#nowMs);
    if (refusal) return { ...refusal, detail: `${refusal.detail} (the trust anchor)` };
    let issuersLeft = anchor.extensions.basicConstraints?.pathLength ?? Number.POSITIVE_INFINITY;
    for (let at = path.length - 2; at >= 0; at--) {
      const certificate = path[at]!;
      const isLeaf = at === 0;
      const wrong =
        this.#judgeSignature(certificate, path[at + 1]!) ??
        (isLeaf ? null : (judgeValidity(certificate, this.#nowMs) ?? judgeIntermediate(certificate))) ??
        // A CA that issued to itself is bound neither by length nor by name, unless it is the leaf (section 6.1.3).
        (isSelfIssued(certificate) && !isLeaf
          ? null
          : (this.#judgeConstraints(certificate, path.slice(at + 1)) ??
            unless(isLeaf || --issuersLeft >= 0, 'path-length', 'a path has more issuers than a CA allows')));
      if (wrong) return wrong;
      const pathLength = certificate.extensions.basicConstraints?.pathLength;
      if (pathLength != null) issuersLeft = Math.min(issuersLeft, pathLength);
    }
    this.found = Object.freeze([...path]);
    return null;
  }

  #judgeConstraints(certificate: Certificate, issuers: readonly Certificate[]): Refusal | null {
    for (const issuer of issuers) {
      const constraints = issuer.extensions.nameConstraints;
      const wrong = constraints && judgeNames(certificate, constraints, this.#work);
      if (wrong) return wrong;
    }
    return null;
  }

  /** Each pair is verified once; the issuer's key has been judged before. */
  #judgeSignature(subject: Certificate, issuer: Certificate): Refusal | null {
    let known = this.#signed.get(issuer);
    if (!known) {
      known = new Map();
      this.#signed.set(issuer, known);
    }
    const before = known.get(subject);
    if (before !== undefined) return before;
    const algorithm = subject.signatureAlgorithm;
    const refusal =
      unless(algorithm.type !== 'weak', 'weak-signature', 'a certificate is signed over a broken hash') ??
      unless(
        algorithm.type !== 'unsupported',
        'algorithm',
        'a certificate is signed in a way not known here',
      ) ??
      unless(
        fitsKey(algorithm, issuer.key),
        'algorithm',
        'a signature is of another kind than the key of its issuer',
      ) ??
      unless(--this.#signatures >= 0, 'too-much-work', 'there are too many signatures to verify') ??
      unless(isSigned(subject, issuer), 'signature', 'a signature is not that of its issuer');
    known.set(subject, refusal);
    return refusal;
  }
}

/** The same name and key, whoever vouches for them: on a path once (RFC 4158, section 5.2). */
const isSameEntity = (one: Certificate, other: Certificate): boolean =>
  one.spki.equals(other.spki) && isSameName(one.subject, other.subject);
