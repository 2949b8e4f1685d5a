/** Which public keys a profile takes: their types, their sizes, and what makes one weak. Pure. */
import type { KeyObject } from 'node:crypto';
import { Fault } from '#common/fault.ts';
import { readDer } from '#common/x509/der.ts';
import { type KeyFacts, readKeyFacts } from '#common/x509/public-key.ts';
import type { KeyType } from './profile.ts';
import { type ModulusWeakness, weaknessOfModulus } from './rsa-modulus.ts';

export interface PublicKey {
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKeyDer: Buffer;
}

/** Beyond it a verification costs more than a device is worth. */
const mostRsaBits = 8192;
/** FIPS 186-5, section 5.4 wants 65537 at least; 3 is in use, and beyond 32 bits only the verifier pays. */
const rsaExponent = { least: 3n, most: 2n ** 32n };

const weaknesses: Record<ModulusWeakness, string> = {
  'small-factor': 'The modulus of this RSA key has a small factor; make a new key with a sound generator.',
  'close-primes':
    'The primes of this RSA key lie so close together that the modulus factors at once; make a new key with a sound generator.',
};

/** Faults `csr-key-type` and `csr-key-weak`, each with what the profile takes; `csr-malformed` for what is no key. */
export function judgeKey({ publicKey, publicKeyDer }: PublicKey, takes: readonly KeyType[]): void {
  const facts = readFacts(publicKeyDer);
  if (facts.type === 'rsa') return judgeRsa(publicKey, facts, takes);
  if (facts.type === 'unsupported') {
    if (publicKey.asymmetricKeyType !== 'rsa') throw wrongType(facts.why, takes);
    throw new Fault('csr-key-weak', `This RSA key is none: ${facts.why}.`);
  }
  const type = facts.type === 'ec' ? facts.curve : typeNames[facts.type];
  if (!takes.some((each) => each === type)) throw wrongType(`it is ${type}`, takes);
}

const typeNames = {
  ed25519: 'Ed25519',
  'ml-dsa-44': 'ML-DSA-44',
  'ml-dsa-65': 'ML-DSA-65',
  'ml-dsa-87': 'ML-DSA-87',
} as const satisfies Record<Exclude<KeyFacts['type'], 'ec' | 'rsa' | 'unsupported'>, string>;

function readFacts(publicKeyDer: Buffer): KeyFacts {
  try {
    return readKeyFacts(readDer(publicKeyDer));
  } catch (cause) {
    throw new Fault('csr-malformed', 'The public key of the CSR is not encoded as it should be.', { cause });
  }
}

function judgeRsa(
  publicKey: KeyObject,
  { bits, exponent }: KeyFacts & { type: 'rsa' },
  takes: readonly KeyType[],
): void {
  const sizes = takes.flatMap((type) => (type.startsWith('RSA-') ? [Number(type.slice('RSA-'.length))] : []));
  if (sizes.length === 0) throw wrongType('it is RSA', takes);
  const leastBits = Math.min(...sizes);
  // A multiple of 8, as verifiers of paths ask for (CA/Browser Forum, section 6.1.5).
  if (bits < leastBits || bits > mostRsaBits || bits % 8 !== 0) {
    const range = `RSA keys have ${leastBits} to ${mostRsaBits} bits here, a multiple of 8; this one has ${bits}.`;
    throw new Fault('csr-key-weak', range);
  }
  if (exponent < rsaExponent.least || exponent > rsaExponent.most || exponent % 2n === 0n)
    throw new Fault(
      'csr-key-weak',
      'The public exponent of an RSA key is odd and from 3 to 2^32; take 65537.',
    );
  const weakness = weaknessOfModulus(modulusOf(publicKey));
  if (weakness) throw new Fault('csr-key-weak', weaknesses[weakness]);
}

const modulusOf = (publicKey: KeyObject): bigint =>
  BigInt(`0x${Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url').toString('hex')}`);

const wrongType = (what: string, takes: readonly KeyType[]) =>
  new Fault('csr-key-type', `Keys are ${listOf(takes)} here; this one does not fit: ${what}.`);

function listOf(takes: readonly KeyType[]): string {
  const words = takes.map((type) =>
    type.startsWith('RSA-') ? `RSA of at least ${type.slice('RSA-'.length)} bits` : type,
  );
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
