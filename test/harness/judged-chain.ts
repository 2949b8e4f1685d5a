/** A chain in DER, read and judged as a door would: the word of the refusal, and how long it took. */
import { Fault } from '#common/fault.ts';
import { readCertificate } from '#common/x509/certificate.ts';
import { type PathLimits, type PathOutcome, validatePath } from '#common/x509/path.ts';

export interface Chain {
  readonly leaf: Buffer;
  readonly intermediates?: readonly Buffer[];
  readonly anchors: readonly Buffer[];
  readonly now?: string;
  readonly limits?: Partial<PathLimits>;
}

/** `trusted`, a `PathProblem`, or `malformed: ` and a `CertificateProblem`. Anything thrown but that fault is thrown on. */
export function judgeChain(chain: Chain): { word: string; outcome: PathOutcome | null; tookMs: number } {
  const begun = performance.now();
  const { word, outcome } = judged(chain);
  return { word, outcome, tookMs: performance.now() - begun };
}

function judged({ leaf, intermediates = [], anchors, now = '2026-11-01T00:00:00Z', limits }: Chain) {
  try {
    const outcome = validatePath({
      leaf: readCertificate(leaf),
      intermediates: intermediates.map(readCertificate),
      anchors: anchors.map(readCertificate),
      nowMs: Date.parse(now),
      ...(limits && { limits }),
    });
    return { word: outcome.trusted ? 'trusted' : outcome.problem, outcome };
  } catch (thrown) {
    if (!(thrown instanceof Fault) || thrown.kind !== 'certificate-malformed') throw thrown;
    return { word: `malformed: ${String(thrown.fields.problem)}`, outcome: null };
  }
}
