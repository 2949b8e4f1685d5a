/**
 * The OCSP responder (RFC 6960) for certificates of this registry's own issuers: a request in DER in, an answer in DER
 * out. An answer without nonce is signed once and given again until half its life is over or the certificate's state
 * has changed (RFC 5019); nothing is ever stale. HTTP is the PKI door's.
 */
import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { LRUCache } from 'lru-cache';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { IssuerIdentity } from '../ca/issuer-identity.ts';
import { type CertId, certIdOf, issuerNameOf, readOcspRequest } from '../ca/ocsp-request.ts';
import {
  buildOcspResponse,
  type CertStatus,
  type OcspError,
  type OcspKey,
  ocspErrors,
} from '../ca/ocsp-response.ts';

/** An issuer that this registry answers for. */
export interface OcspIssuer {
  readonly name: string;
  readonly identity: IssuerIdentity;
  /** Null while nobody can sign for it. */
  readonly signer: OcspKey | null;
}

export interface OcspResponderOptions {
  issuers: () => readonly OcspIssuer[];
  /** From the registry's file, now. The serial number in lower-case hex. */
  statusOf: (issuer: string, serial: string) => CertStatus;
  /** Grows with whatever could change a status. */
  commits: () => number;
  /** From thisUpdate to nextUpdate. */
  lifetimeMs: number;
  clock: Clock;
  log: Logger;
}

export interface OcspAnswer {
  readonly der: Buffer;
  /** Null for what nobody may keep: answers with a nonce, and errors. */
  readonly keep: OcspValidity | null;
}

export interface OcspValidity {
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** From here on a newer answer is signed. */
  readonly freshUntilMs: number;
  /** Hex of SHA-1 over the answer (RFC 5019, section 6.2). */
  readonly tag: string;
}

interface Kept {
  readonly answer: OcspAnswer & { readonly keep: OcspValidity };
  readonly issuer: string;
  readonly serial: string;
  readonly status: CertStatus;
  /** The commits as of which the status is known to be so. */
  asOf: number;
}

/** Most certificates of one request: clients ask for one, or for a chain. */
const mostCertIds = 8;
/** Answers of about 1 kB. */
const keptAnswers = 16_384;

export class OcspResponder {
  readonly #options: OcspResponderOptions;
  /** By the CertID's DER, which names hash, issuer and serial number at once. */
  readonly #kept = new LRUCache<string, Kept>({ max: keptAnswers });
  readonly #hashes = new WeakMap<IssuerIdentity, Record<CertId['hash'], Buffer>>();

  constructor(options: OcspResponderOptions) {
    this.#options = options;
  }

  /** Never faults: what goes wrong is an answer too (RFC 6960, section 2.3). Some microseconds when it is kept. */
  answer(request: Buffer): OcspAnswer {
    try {
      const { certIds, nonce } = readOcspRequest(request, mostCertIds);
      const [only] = certIds;
      const common = nonce === null && certIds.length === 1 ? only!.der.toString('latin1') : null;
      return (common !== null && this.#find(common)) || this.#sign(certIds, nonce, common);
    } catch (thrown) {
      const fault = Fault.of(thrown);
      if (fault.kind === 'malformed') return refusal('malformedRequest');
      this.#options.log.error({ error: String(fault.cause) }, 'An OCSP request could not be answered.');
      return refusal('internalError');
    }
  }

  /**
   * About a certificate (DER), to be stapled: null when it is of no issuer of ours, and while nobody can sign. Never
   * faults: it is asked in the middle of a handshake.
   */
  about(certificate: Buffer): { readonly der: Buffer; readonly keep: OcspValidity } | null {
    try {
      const name = issuerNameOf(certificate);
      const issuer = this.#options.issuers().find(({ identity }) => identity.name.equals(name));
      if (!issuer) return null;
      const certId = certIdOf(certificate, issuer.identity);
      const common = certId.der.toString('latin1');
      const { der, keep } = this.#find(common) ?? this.#sign([certId], null, common);
      return keep && { der, keep };
    } catch (thrown) {
      this.#options.log.error({ error: String(thrown) }, 'A door has no OCSP answer to staple.');
      return null;
    }
  }

  /** The answer that is kept, if it still is what would be answered now. */
  #find(key: string): OcspAnswer | undefined {
    const kept = this.#kept.get(key);
    if (!kept) return undefined;
    const { clock, commits, statusOf } = this.#options;
    const now = clock.now();
    // A clock that was set back makes an answer one of the future.
    if (now >= kept.answer.keep.freshUntilMs || now < kept.answer.keep.thisUpdateMs) return undefined;
    const asOf = commits();
    if (asOf !== kept.asOf) {
      if (!isDeepStrictEqual(statusOf(kept.issuer, kept.serial), kept.status)) return undefined;
      kept.asOf = asOf;
    }
    return kept.answer;
  }

  /** One signature, however many certificates; `common` names an answer that others may ask for too. */
  #sign(certIds: readonly CertId[], nonce: Buffer | null, common: string | null): OcspAnswer {
    const { clock, commits, statusOf, lifetimeMs } = this.#options;
    const issuer = this.#issuerOf(certIds);
    if (!issuer) return refusal('unauthorized');
    const { signer } = issuer;
    if (!signer) return refusal('tryLater');
    const asOf = commits();
    const answers = certIds.map(({ der, serial }) => ({
      certId: der,
      status: serial === null ? never : statusOf(issuer.name, serial),
    }));
    const thisUpdateMs = Math.floor(clock.now() / 1000) * 1000;
    const nextUpdateMs = Math.min(thisUpdateMs + lifetimeMs, signer.notAfterMs);
    const der = buildOcspResponse({ answers, nonce, thisUpdateMs, nextUpdateMs }, signer);
    if (common === null) return { der, keep: null };

    const freshUntilMs = thisUpdateMs + (nextUpdateMs - thisUpdateMs) / 2;
    const answer = { der, keep: { thisUpdateMs, nextUpdateMs, freshUntilMs, tag: hash('sha1', der, 'hex') } };
    const { serial } = certIds[0]!;
    const { status } = answers[0]!;
    // There is no end of serial numbers that were never issued: keeping them would drive out the others.
    if (serial !== null && status.kind !== 'unknown')
      this.#kept.set(common, { answer, issuer: issuer.name, serial, status, asOf });
    return answer;
  }

  /** The one issuer of all of them; none when one is not ours, or they are of several: nobody may sign for both. */
  #issuerOf(certIds: readonly CertId[]): OcspIssuer | undefined {
    return this.#options
      .issuers()
      .find(({ identity }) => certIds.every((certId) => this.#isOf(identity, certId)));
  }

  #isOf(identity: IssuerIdentity, { hash: by, issuerHash }: CertId): boolean {
    let hashes = this.#hashes.get(identity);
    if (!hashes) {
      const both = (algorithm: CertId['hash']) =>
        Buffer.concat([identity.name, identity.publicKeyBits].map((part) => hash(algorithm, part, 'buffer')));
      hashes = { sha1: both('sha1'), sha256: both('sha256') };
      this.#hashes.set(identity, hashes);
    }
    return hashes[by].equals(issuerHash);
  }
}

const never: CertStatus = { kind: 'unknown' };
const refusal = (error: OcspError): OcspAnswer => ({ der: ocspErrors[error], keep: null });

/** While there is no responder yet. */
export const laterAnswer: OcspAnswer = refusal('tryLater');
