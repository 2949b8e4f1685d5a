/** Signature algorithms (RFC 4055, RFC 5758, RFC 8410, RFC 9881): which there are, and verification of a signature with one. */
import { constants, type KeyObject, verify } from 'node:crypto';
import { type Der, Fields, oidOf, tags } from './der.ts';
import type { KeyFacts, MlDsa } from './public-key.ts';

type Hash = 'sha256' | 'sha384' | 'sha512';

export type SignatureAlgorithm =
  | { readonly type: 'ecdsa' | 'rsa' | 'rsa-pss'; readonly hash: Hash }
  | { readonly type: 'ed25519' | MlDsa }
  /** Broken hashes: MD2, MD4, MD5, SHA-1, SHA-224. */
  | { readonly type: 'weak'; readonly oid: string }
  | { readonly type: 'unsupported'; readonly oid: string };

const rsa = '1.2.840.113549.1.1';
const ecdsa = '1.2.840.10045.4';
const mlDsa = '2.16.840.1.101.3.4.3';

/** The algorithm, and what its parameters are: absent or NULL. */
const known: Readonly<Record<string, { algorithm: SignatureAlgorithm; parameters: 'none' | 'null' }>> = {
  [`${rsa}.11`]: { algorithm: { type: 'rsa', hash: 'sha256' }, parameters: 'null' },
  [`${rsa}.12`]: { algorithm: { type: 'rsa', hash: 'sha384' }, parameters: 'null' },
  [`${rsa}.13`]: { algorithm: { type: 'rsa', hash: 'sha512' }, parameters: 'null' },
  [`${ecdsa}.3.2`]: { algorithm: { type: 'ecdsa', hash: 'sha256' }, parameters: 'none' },
  [`${ecdsa}.3.3`]: { algorithm: { type: 'ecdsa', hash: 'sha384' }, parameters: 'none' },
  [`${ecdsa}.3.4`]: { algorithm: { type: 'ecdsa', hash: 'sha512' }, parameters: 'none' },
  '1.3.101.112': { algorithm: { type: 'ed25519' }, parameters: 'none' },
  [`${mlDsa}.17`]: { algorithm: { type: 'ml-dsa-44' }, parameters: 'none' },
  [`${mlDsa}.18`]: { algorithm: { type: 'ml-dsa-65' }, parameters: 'none' },
  [`${mlDsa}.19`]: { algorithm: { type: 'ml-dsa-87' }, parameters: 'none' },
};

const weak: ReadonlySet<string> = new Set([
  `${rsa}.2`,
  `${rsa}.3`,
  `${rsa}.4`,
  `${rsa}.5`,
  `${rsa}.14`,
  `${ecdsa}.1`,
  `${ecdsa}.3.1`,
  '1.2.840.10040.4.3',
  '1.3.14.3.2.29',
]);

/**
 * RSASSA-PSS-params in the three encodings that are used (RFC 4055, section 3.1): one hash for message and mask, a
 * salt as long as it, the default trailer. Whoever says anything else says `unsupported`.
 */
const pssParameters = new Map<string, Hash>(
  (
    [
      ['01', 0x20, 'sha256'],
      ['02', 0x30, 'sha384'],
      ['03', 0x40, 'sha512'],
    ] as const
  ).map(([arc, salt, hash]) => {
    const digest = `300d06096086480165030402${arc}0500`;
    return [`3034a00f${digest}a11c301a06092a864886f70d010108${digest}a2030201${salt.toString(16)}`, hash];
  }),
);

/** Reads an AlgorithmIdentifier. Faults `certificate-malformed` (`encoding`). */
export function readSignatureAlgorithm(element: Der): SignatureAlgorithm {
  const fields = new Fields(element, 'a signature algorithm');
  const oid = oidOf(fields.take(tags.oid, 'identifier'));
  const parameters = fields.left > 0 ? fields.any('parameters') : null;
  fields.end();
  if (weak.has(oid)) return { type: 'weak', oid };
  if (oid === `${rsa}.10`) {
    const hash = pssParameters.get(parameters?.der.toString('hex') ?? '');
    return hash ? { type: 'rsa-pss', hash } : { type: 'unsupported', oid };
  }
  const entry = known[oid];
  const written = parameters === null ? 'none' : parameters.tag === tags.null ? 'null' : 'other';
  return entry?.parameters === written ? entry.algorithm : { type: 'unsupported', oid };
}

export interface Signed {
  readonly algorithm: SignatureAlgorithm;
  /** What was signed. */
  readonly data: Buffer;
  readonly signature: Buffer;
}

/** Whether a key can have made such a signature at all. */
export const fitsKey = (algorithm: SignatureAlgorithm, key: KeyFacts): boolean =>
  algorithm.type === 'ecdsa'
    ? key.type === 'ec'
    : algorithm.type === 'rsa' || algorithm.type === 'rsa-pss'
      ? key.type === 'rsa'
      : algorithm.type === key.type && key.type !== 'unsupported';

/** Whether the key has made the signature. Never throws: what OpenSSL cannot read was not signed. */
export function isSignedBy({ algorithm, data, signature }: Signed, key: KeyObject): boolean {
  try {
    switch (algorithm.type) {
      case 'weak':
      case 'unsupported':
        return false;
      case 'ecdsa':
        return verify(algorithm.hash, data, { key, dsaEncoding: 'der' }, signature);
      case 'rsa':
        return verify(algorithm.hash, data, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
      case 'rsa-pss':
        return verify(
          algorithm.hash,
          data,
          { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
          signature,
        );
      default:
        return verify(null, data, key, signature);
    }
  } catch {
    return false;
  }
}
