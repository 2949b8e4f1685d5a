/** Whether the signature of a CSR proves possession of its key (RFC 2986, section 4.2). OpenSSL verifies; nothing is kept. */
import { constants, type KeyObject, verify } from 'node:crypto';
import type { CertificationRequest } from '@peculiar/asn1-csr';

interface Scheme {
  readonly key: readonly string[];
  /** Null where the algorithm has its own. */
  readonly digest: string | null;
}

/** SHA-1 and MD5 are not among them: what signs with those proves nothing any more. */
const schemes: Readonly<Record<string, Scheme>> = {
  '1.2.840.10045.4.3.2': { key: ['ec'], digest: 'sha256' },
  '1.2.840.10045.4.3.3': { key: ['ec'], digest: 'sha384' },
  '1.2.840.10045.4.3.4': { key: ['ec'], digest: 'sha512' },
  '1.2.840.113549.1.1.11': { key: ['rsa'], digest: 'sha256' },
  '1.2.840.113549.1.1.12': { key: ['rsa'], digest: 'sha384' },
  '1.2.840.113549.1.1.13': { key: ['rsa'], digest: 'sha512' },
  '1.3.101.112': { key: ['ed25519'], digest: null },
  // FIPS 204, as RFC 9881 names it.
  '2.16.840.1.101.3.4.3.17': { key: ['ml-dsa-44'], digest: null },
  '2.16.840.1.101.3.4.3.18': { key: ['ml-dsa-65'], digest: null },
};

const pss = '1.2.840.113549.1.1.10';
const pssDigests = ['sha256', 'sha384', 'sha512'];

/** False for a signature that does not verify, and for an algorithm that is not known or not of this key. */
export function isProofOfPossession(request: CertificationRequest, publicKey: KeyObject): boolean {
  const { certificationRequestInfoRaw, signatureAlgorithm, signature } = request;
  const { algorithm } = signatureAlgorithm;
  if (!certificationRequestInfoRaw) return false;
  const signed = Buffer.from(certificationRequestInfoRaw);
  const proof = Buffer.from(signature);
  try {
    if (algorithm === pss) return verifyPss(signed, proof, publicKey);
    const scheme = Object.hasOwn(schemes, algorithm) ? schemes[algorithm] : undefined;
    if (!scheme?.key.includes(publicKey.asymmetricKeyType ?? '')) return false;
    return verify(scheme.digest, signed, publicKey, proof);
  } catch {
    // OpenSSL throws for keys that it cannot verify with: they prove nothing.
    return false;
  }
}

/** Which digest its parameters name does not matter: it verifies with one of ours, or it proves nothing. */
function verifyPss(signed: Buffer, proof: Buffer, key: KeyObject): boolean {
  if (key.asymmetricKeyType !== 'rsa') return false;
  const options = {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_AUTO,
  };
  return pssDigests.some((digest) => verify(digest, signed, options, proof));
}
