/**
 * What is known of the revocation of a foreign certificate, by the CRLs at hand and by asking its responder, and what the
 * policy of its anchor makes of it. It fetches nothing but an OCSP answer, and records nothing.
 */
import { Fault } from '#common/fault.ts';
import type { Certificate } from '#common/x509/certificate.ts';
import type { Anchor, AnchorRegister } from './anchor-register.ts';
import type { CrlReason } from './foreign-crl.ts';
import type { ForeignCrls } from './foreign-crls.ts';
import type { Step } from './foreign-path.ts';
import type { OcspStatus } from './ocsp-answer.ts';

/** Until when a word that ends at `nextUpdateMs` holds under the policy; null for always. Null of it: no word was had. */
export function heldUntilMs(
  { terms, maxStaleMs }: Pick<Anchor, 'terms' | 'maxStaleMs'>,
  nextUpdateMs: number | null,
): number | null {
  switch (terms.revocation.policy) {
    case 'none':
    case 'soft':
      return null;
    case 'hard':
      return nextUpdateMs ?? 0;
    case 'last-good':
      return nextUpdateMs === null ? 0 : nextUpdateMs + maxStaleMs;
  }
}

/** How it stands with a certificate; `statusUntilMs` null where its anchor as a whole is the word, or nobody has to be asked. */
export type ForeignState =
  | { readonly state: 'good'; readonly statusUntilMs: number | null }
  | { readonly state: 'listed'; readonly reason: CrlReason }
  /** `why` is the end of a sentence. */
  | { readonly state: 'unknown'; readonly why: string };

export interface ForeignStatusParts {
  register: AnchorRegister;
  crls: Pick<ForeignCrls, 'reasonOf' | 'covers'>;
  askResponder: (leaf: Certificate, issuer: Certificate, url: string) => Promise<OcspStatus>;
}

export class ForeignStatus {
  readonly #parts: ForeignStatusParts;

  constructor(parts: ForeignStatusParts) {
    this.#parts = parts;
  }

  /** `steps` are the leaf's, leaf first. Never throws. */
  async of(anchor: Anchor, leaf: Certificate, steps: readonly Step[]): Promise<ForeignState> {
    const { crls } = this.#parts;
    const { policy, ocsp } = anchor.terms.revocation;
    if (policy === 'none') return good(null);
    const reason = crls.reasonOf(anchor.id, steps);
    if (reason) return { state: 'listed', reason };
    const [first] = steps;
    if (ocsp !== null) return this.#ask(anchor, leaf, first?.by ?? '');
    if (policy === 'soft' || crls.covers(anchor.id, first?.by ?? '')) return good(null);
    return { state: 'unknown', why: 'no CRL of its issuer is at hand' };
  }

  async #ask(anchor: Anchor, leaf: Certificate, by: string): Promise<ForeignState> {
    const { register, askResponder } = this.#parts;
    const { policy, ocsp } = anchor.terms.revocation;
    const issuer = register.ca(anchor.id, by);
    const url = ocsp === 'aia' ? leaf.extensions.authorityInfoAccess?.ocsp.find(isHttp) : ocsp;
    const answer: OcspStatus =
      issuer && url
        ? await askResponder(leaf, issuer, url)
        : { state: 'unknown', why: url ? 'its issuer is not at hand' : 'it names no responder to ask' };
    if (answer.state === 'good') return good(heldUntilMs(anchor, answer.untilMs));
    if (answer.state === 'revoked') return { state: 'listed', reason: answer.reason };
    return policy === 'soft' ? good(null) : answer;
  }
}

const good = (statusUntilMs: number | null): ForeignState => ({ state: 'good', statusUntilMs });
const isHttp = (url: string): boolean => url.startsWith('http://');

/** Faults `certificate-held`, `certificate-revoked`, `revocation-unknown`; otherwise until when it is known. */
export function judgeState(found: ForeignState): number | null {
  switch (found.state) {
    case 'good':
      return found.statusUntilMs;
    case 'listed':
      throw found.reason === 'certificateHold'
        ? new Fault(
            'certificate-held',
            'This certificate is on hold by its issuer; ask the operator of the device.',
          )
        : new Fault('certificate-revoked', `This certificate was revoked by its issuer (${found.reason}).`);
    case 'unknown':
      throw new Fault(
        'revocation-unknown',
        `Whether this certificate was revoked is not known: ${found.why}; try again.`,
        { retryAfterMs: 5_000 },
      );
  }
}
