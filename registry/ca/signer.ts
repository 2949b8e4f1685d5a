/** What the CA asks of whatever holds its key: a public key, an algorithm, signatures. It never sees the key itself. */
import type { KeyObject } from 'node:crypto';
import { Fault } from '#common/fault.ts';
import { derNull, oid as identifier, sequence } from './der-writer.ts';

export interface SignatureAlgorithm {
  /** The word of its standard, such as `ecdsa-with-SHA256`. */
  readonly name: string;
  /** AlgorithmIdentifier (RFC 5280, section 4.1.1.2). */
  readonly der: Buffer;
  /** What is hashed before it is signed; null where the algorithm takes the whole message. */
  readonly digest: 'sha256' | 'sha384' | null;
}

/** A key of the CA that can sign. It is closed by whoever opened it. */
export interface Signer {
  readonly publicKey: KeyObject;
  readonly algorithm: SignatureAlgorithm;
  /**
   * The signature over `data` as X.509 writes it: ECDSA as the DER of RFC 3279 section 2.2.3, the others as they are.
   * Any number may be under way at once. Faults `unavailable` when what holds the key does not answer.
   */
  sign(data: Buffer): Promise<Buffer>;
  close(): Promise<void>;
}

/** The part that those need who have something to be signed (a TBSCertificate, a TBSCertList). */
export type TbsSigner = Pick<Signer, 'algorithm' | 'sign'>;

function algorithm(
  name: string,
  oid: string,
  digest: SignatureAlgorithm['digest'],
  parameters: readonly Buffer[] = [],
): SignatureAlgorithm {
  return { name, digest, der: sequence(identifier(oid), ...parameters) };
}

/** ECDSA and Ed25519 have no parameters (RFC 5758 section 3.2, RFC 8410 section 3), nor has ML-DSA (RFC 9881 section 2);
 * RSA has NULL (RFC 4055 section 5). */
const algorithms = {
  prime256v1: algorithm('ecdsa-with-SHA256', '1.2.840.10045.4.3.2', 'sha256'),
  secp384r1: algorithm('ecdsa-with-SHA384', '1.2.840.10045.4.3.3', 'sha384'),
  ed25519: algorithm('Ed25519', '1.3.101.112', null),
  rsa: algorithm('sha256WithRSAEncryption', '1.2.840.113549.1.1.11', 'sha256', [derNull]),
  'ml-dsa-44': algorithm('id-ml-dsa-44', '2.16.840.1.101.3.4.3.17', null),
  'ml-dsa-65': algorithm('id-ml-dsa-65', '2.16.840.1.101.3.4.3.18', null),
} as const satisfies Record<string, SignatureAlgorithm>;

const leastRsaBits = 2048;

/** The algorithm that a key of the CA signs with. Faults `csr-key-type` for keys that no CA of this house uses. */
export function signatureAlgorithmOf(key: KeyObject): SignatureAlgorithm {
  const { asymmetricKeyType: type = '', asymmetricKeyDetails: details } = key;
  const word = type === 'ec' ? (details?.namedCurve ?? '') : type;
  const weak = type === 'rsa' && (details?.modulusLength ?? 0) < leastRsaBits;
  if (!weak && Object.hasOwn(algorithms, word)) return algorithms[word as keyof typeof algorithms];
  throw new Fault(
    'csr-key-type',
    `A CA signs with ECDSA P-256 or P-384, Ed25519, RSA of 2048 bits or more, ML-DSA-44 or ML-DSA-65; not with ${word}${weak ? ` of ${details?.modulusLength} bits` : ''}.`,
  );
}
