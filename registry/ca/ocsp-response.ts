/**
 * OCSP answers (RFC 6960, section 4.2): basic responses of a delegate, and the unsigned ones that say what went wrong.
 * What the status is, and how long it holds, is decided elsewhere.
 */
import { type KeyObject, sign } from 'node:crypto';
import { reasonCodeOf } from './crl-reason.ts';
import {
  bitString,
  context,
  der,
  enumerated,
  extension,
  generalizedTime,
  octetString,
  oid,
  sequence,
} from './der-writer.ts';
import { signatureAlgorithmOf } from './signer.ts';

export type CertStatus =
  | { readonly kind: 'good' }
  | { readonly kind: 'revoked'; readonly atMs: number; readonly reason: string | null }
  | { readonly kind: 'unknown' };

export interface SingleAnswer {
  /** The CertID of the request, in DER. */
  readonly certId: Buffer;
  readonly status: CertStatus;
}

export interface BasicAnswer {
  readonly answers: readonly SingleAnswer[];
  /** Null when none was sent. */
  readonly nonce: Buffer | null;
  /** When the status was known, and when it was signed. */
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
}

/** Who signs: a key in memory, with a certificate of the issuer that says it may (RFC 6960, section 4.2.2.2). */
export interface OcspKey {
  readonly key: KeyObject;
  /** SHA-1 of the public key's bits: what names the signer in an answer (RFC 6960, section 4.2.1). */
  readonly keyHash: Buffer;
  /** DER. */
  readonly certificate: Buffer;
  readonly notAfterMs: number;
}

const oids = { basic: oid('1.3.6.1.5.5.7.48.1.1'), nonce: oid('1.3.6.1.5.5.7.48.1.2') };

/** OCSPResponseStatus; 4 is not used, and nobody has to sign (5). */
const errorCodes = { malformedRequest: 1, internalError: 2, tryLater: 3, unauthorized: 6 } as const;
export type OcspError = keyof typeof errorCodes;

/** Whole responses: there is nothing in them that changes, and nobody signs them. */
export const ocspErrors = Object.fromEntries(
  Object.entries(errorCodes).map(([name, code]) => [name, sequence(enumerated(code))]),
) as Readonly<Record<OcspError, Buffer>>;

const successful = enumerated(0);

/** A signed OCSPResponse in DER. */
export function buildOcspResponse(answer: BasicAnswer, signer: OcspKey): Buffer {
  const { answers, nonce, thisUpdateMs, nextUpdateMs } = answer;
  const thisUpdate = generalizedTime(thisUpdateMs);
  const nextUpdate = der(context(0), generalizedTime(nextUpdateMs));
  const data = sequence(
    // byKey [2]; the version is the default.
    der(context(2), octetString(signer.keyHash)),
    thisUpdate,
    sequence(
      ...answers.map(({ certId, status }) => sequence(certId, encodeStatus(status), thisUpdate, nextUpdate)),
    ),
    ...(nonce === null ? [] : [der(context(1), sequence(extension(oids.nonce, octetString(nonce))))]),
  );
  const algorithm = signatureAlgorithmOf(signer.key);
  const basic = sequence(
    data,
    algorithm.der,
    bitString(sign(algorithm.digest, data, signer.key)),
    der(context(0), sequence(signer.certificate)),
  );
  return sequence(successful, der(context(0), sequence(oids.basic, octetString(basic))));
}

const good = der(0x80);
const unknown = der(0x82);

function encodeStatus(status: CertStatus): Buffer {
  if (status.kind === 'good') return good;
  if (status.kind === 'unknown') return unknown;
  const code = reasonCodeOf(status.reason);
  const reason = code === null ? [] : [der(context(0), enumerated(code))];
  return der(context(1), generalizedTime(status.atMs), ...reason);
}
