/**
 * Proof that whoever registers a CA holds its key: a nonce, returned in a certificate that the CA has signed, or signed
 * itself. Without it, anybody could claim the CA of somebody else's devices.
 */
import { randomBytes, verify } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import { isSameName, valuesOf } from '#common/x509/name.ts';
import { attributeOids } from '#common/x509/object-identifier.ts';
import { certificateDer } from '#common/x509/pem.ts';
import { fitsKey, isSignedBy } from '#common/x509/signature-algorithm.ts';

/** One of the two: PEM of a certificate whose CN is the nonce, or base64 of a signature over the nonce's ASCII. */
export interface PossessionProof {
  readonly certificate?: string;
  readonly signature?: string;
}

export interface Challenge {
  readonly name: string;
  readonly nonce: string;
  /** RFC 3339. */
  readonly expiresAt: string;
}

/** As long as somebody with an offline key needs, within a shift. */
export const challengeLifetimeMs = 24 * 3_600_000;
export const mostChallenges = 1000;
/** A CN holds 64 characters (ub-common-name). */
const nonceBytes = 20;

export class Challenges {
  readonly #open = new LRUCache<string, { nonce: string; expiresMs: number }>({ max: mostChallenges });
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A new one for a name; an older one of it is void. Beyond `mostChallenges` the oldest is. */
  open(name: string): Challenge {
    const nonce = randomBytes(nonceBytes).toString('hex');
    const expiresMs = this.#clock.now() + challengeLifetimeMs;
    this.#open.set(name, { nonce, expiresMs });
    return { name, nonce, expiresAt: timestamp(expiresMs) };
  }

  /** Whether the proof is of the key of `ca`. A nonce is good for one proof. Faults `anchor-possession`. */
  spend(name: string, ca: Certificate, proof: PossessionProof): void {
    const known = this.#open.get(name);
    if (!known || known.expiresMs < this.#clock.now())
      throw refused(`there is no open challenge for ${name}; ask for one with POST /v1/anchors/challenge`);
    const problem = problemOf(proof, ca, known.nonce);
    if (problem) throw refused(problem);
    this.#open.delete(name);
  }
}

const refused = (why: string) =>
  new Fault('anchor-possession', `The possession of the CA's key is not shown: ${why}.`);

function problemOf(
  { certificate, signature }: PossessionProof,
  ca: Certificate,
  nonce: string,
): string | null {
  if ((certificate === undefined) === (signature === undefined))
    return 'a proof is either a certificate or a signature';
  if (certificate !== undefined)
    return problemOfCertificate(readCertificate(certificateDer(certificate)), ca, nonce);
  return isNonceSigned(ca, nonce, Buffer.from(signature ?? '', 'base64'))
    ? null
    : 'the signature over the nonce is not of this key';
}

function problemOfCertificate(proof: Certificate, ca: Certificate, nonce: string): string | null {
  const [commonName, ...more] = valuesOf(proof.subject, attributeOids.commonName);
  if (commonName === undefined || more.length > 0 || commonName !== nonce)
    return 'the CN of the certificate is not the nonce';
  if (!isSameName(proof.issuer, ca.subject)) return 'the certificate names another issuer';
  const { signatureAlgorithm: algorithm, tbs: data, signature } = proof;
  return fitsKey(algorithm, ca.key) && isSignedBy({ algorithm, data, signature }, ca.publicKey())
    ? null
    : 'the certificate is not signed by this CA';
}

/** SHA-256 where the algorithm takes a hash at all; Ed25519 and ML-DSA sign the nonce itself. */
function isNonceSigned(ca: Certificate, nonce: string, signature: Buffer): boolean {
  try {
    const digest = ca.key.type === 'ec' || ca.key.type === 'rsa' ? 'sha256' : null;
    return verify(digest, Buffer.from(nonce), ca.publicKey(), signature);
  } catch {
    return false;
  }
}
