/**
 * From a chain as it was shown in a handshake to the issuer that vouches for it: path validation over issuers as the
 * registry knows them, each parsed once. The same in a gateway and in the registry, which asks again for itself.
 */
import { Fault } from '../fault.ts';
import { type Certificate, readCertificate } from './certificate.ts';
import { judgeLeaf } from './certificate-profile.ts';
import { validatePath } from './path.ts';
import { chainProblemFault } from './path-fault.ts';
import type { Refusal } from './path-problem.ts';
import { certificatesDer } from './pem.ts';

export interface TrustedIssuer {
  readonly id: string;
  /** PEM; the first certificate is the issuer's. */
  readonly certificate: string;
  /** Of a foreign one; null for the registry's own. */
  readonly mode: string | null;
}

export type Vouched<Issuer> =
  | {
      readonly trusted: true;
      readonly issuer: Issuer;
      /** From the leaf to the anchor. */
      readonly path: readonly Certificate[];
      readonly notAfterMs: number;
    }
  /** `fields.problem` has the exact word where there is one. */
  | { readonly trusted: false; readonly fault: Fault };

/** Certificates of a chain that are looked at; what comes after is not read. */
export const mostOfChain = 17;

/** 99991231235959Z: "no end", for factory identities (IEEE 802.1AR, section 8.7; RFC 5280, section 4.1.2.5). */
const noEndMs = 253_402_300_799_000;

export class TrustedIssuers<Issuer extends TrustedIssuer> {
  readonly #current: () => readonly Issuer[];
  readonly #parsed = new Map<string, Certificate>();
  #issuers: readonly Issuer[] = [];

  /** `current` is asked at every validation; it may be a new list each time. */
  constructor(current: () => readonly Issuer[]) {
    this.#current = current;
  }

  /** Leaf first, DER. Never throws: a certificate that cannot be read is a refusal if it is the leaf, else passed over. */
  validate(chain: readonly Buffer[], nowMs: number): Vouched<Issuer> {
    const [leaf, ...intermediates] = chain.slice(0, mostOfChain).map(readOrFault);
    if (leaf === undefined) return refused({ problem: 'no-path', detail: 'nothing was shown' });
    if (leaf instanceof Fault) return { trusted: false, fault: leaf };
    this.#refresh();
    const anchors = this.#issuers.flatMap(({ certificate }) => this.#parsed.get(certificate) ?? []);
    const outcome = validatePath({
      leaf,
      intermediates: intermediates.flatMap((each) => (each instanceof Fault ? [] : each)),
      anchors,
      nowMs,
      limits: { requireClientAuth: false },
    });
    if (!outcome.trusted) return refused(outcome);
    const { path, anchor, notAfterMs } = outcome;
    const issuer = this.#issuers.find(({ certificate }) => this.#parsed.get(certificate) === anchor)!;
    const refusal = issuer.mode === 'enroll-only' ? null : judgeOperational(leaf);
    return refusal ? refused(refusal) : { trusted: true, issuer, path, notAfterMs };
  }

  /** Whether one of the chain says that one of the issuers has issued it: then a refusal is ours to explain. */
  concerns(chain: readonly Buffer[]): boolean {
    this.#refresh();
    const names = new Set([...this.#parsed.values()].map(({ subject }) => subject.canonical.join()));
    return chain
      .slice(0, mostOfChain)
      .map(readOrFault)
      .some((each) => !(each instanceof Fault) && names.has(each.issuer.canonical.join()));
  }

  #refresh(): void {
    const now = this.#current();
    const same =
      now.length === this.#issuers.length &&
      now.every(({ certificate, mode }, at) => {
        const before = this.#issuers[at]!;
        return certificate === before.certificate && mode === before.mode;
      });
    this.#issuers = now;
    if (same) return;
    const certificates = new Set(now.map(({ certificate }) => certificate));
    for (const known of this.#parsed.keys()) if (!certificates.has(known)) this.#parsed.delete(known);
    for (const certificate of certificates) {
      if (this.#parsed.has(certificate)) continue;
      const read = readOrFault(certificatesDer(certificate)[0] ?? Buffer.alloc(0));
      // One that cannot be read vouches for nobody.
      if (!(read instanceof Fault)) this.#parsed.set(certificate, read);
    }
  }
}

const refused = (refusal: Refusal) => ({ trusted: false as const, fault: chainProblemFault(refusal) });

function readOrFault(der: Buffer): Certificate | Fault {
  try {
    return readCertificate(der);
  } catch (thrown) {
    return Fault.of(thrown);
  }
}

/** What is not for enrollment alone says clientAuth, and ends. */
function judgeOperational(leaf: Certificate): Refusal | null {
  if (leaf.notAfterMs >= noEndMs)
    return { problem: 'leaf-profile', detail: 'the certificate has no end: it is good for enrollment alone' };
  return judgeLeaf(leaf, { requireClientAuth: true });
}
