/** How a key of this house signs: the AlgorithmIdentifier that says so, and the hash to give to `crypto.sign`. */
import type { KeyObject } from 'node:crypto';
import { Fault } from '#common/fault.ts';
import { derNull, oid, sequence } from './der-writer.ts';

export interface SignatureAlgorithm {
  /** AlgorithmIdentifier in DER. */
  readonly der: Buffer;
  /** Null where the algorithm hashes by itself (RFC 8032). */
  readonly digest: 'sha256' | 'sha384' | null;
}

/** ECDSA: no parameters (RFC 5758, section 3.2). */
const ecdsaSha256: SignatureAlgorithm = { der: sequence(oid('1.2.840.10045.4.3.2')), digest: 'sha256' };
const ecdsaSha384: SignatureAlgorithm = { der: sequence(oid('1.2.840.10045.4.3.3')), digest: 'sha384' };
/** RSA PKCS #1 v1.5: NULL parameters (RFC 4055, section 5). */
const rsaSha256: SignatureAlgorithm = {
  der: sequence(oid('1.2.840.113549.1.1.11'), derNull),
  digest: 'sha256',
};
/** RFC 8410, section 3: no parameters. */
const ed25519: SignatureAlgorithm = { der: sequence(oid('1.3.101.112')), digest: null };

/** Of a private or public key. Faults `csr-key-type` for keys that this house never uses. */
export function signatureAlgorithmOf({
  asymmetricKeyType,
  asymmetricKeyDetails,
}: KeyObject): SignatureAlgorithm {
  if (asymmetricKeyType === 'ed25519') return ed25519;
  if (asymmetricKeyType === 'rsa') return rsaSha256;
  if (asymmetricKeyDetails?.namedCurve === 'prime256v1') return ecdsaSha256;
  if (asymmetricKeyDetails?.namedCurve === 'secp384r1') return ecdsaSha384;
  throw new Fault('csr-key-type', `A CA does not sign with ${asymmetricKeyType}.`);
}

/** What signs for an issuer: a key in this process or elsewhere. Gives the signature as certificates carry it. */
export interface TbsSigner {
  readonly algorithm: SignatureAlgorithm;
  sign(tbs: Buffer): Promise<Buffer>;
}
