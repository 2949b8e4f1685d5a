/** Which public keys a profile takes: their types, their sizes, and what makes one weak. Pure. */
import type { KeyObject } from 'node:crypto';
import { Fault } from '#common/fault.ts';
import type { KeyType } from './profile.ts';
import { type ModulusWeakness, weaknessOfModulus } from './rsa-modulus.ts';

export interface PublicKeyFacts {
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKeyDer: Buffer;
}

/** Beyond it a verification costs more than a device is worth. */
const mostRsaBits = 8192;
/** FIPS 186-5, section 5.4 wants 65537 at least; 3 is in use, and beyond 32 bits only the verifier pays. */
const rsaExponent = { least: 3n, most: 2n ** 32n };

const curves: Readonly<Record<string, KeyType>> = { prime256v1: 'P-256', secp384r1: 'P-384' };
const types: Readonly<Record<string, KeyType>> = {
  ed25519: 'Ed25519',
  'ml-dsa-44': 'ML-DSA-44',
  'ml-dsa-65': 'ML-DSA-65',
};

const weaknesses: Record<ModulusWeakness, string> = {
  'small-factor': 'The modulus of this RSA key has a small factor; make a new key with a sound generator.',
  'close-primes':
    'The primes of this RSA key lie so close together that the modulus factors at once; make a new key with a sound generator.',
};

/** Faults `csr-key-type` and `csr-key-weak`, each with what the profile takes. */
export function judgeKey({ publicKey, publicKeyDer }: PublicKeyFacts, takes: readonly KeyType[]): void {
  const { asymmetricKeyType = '', asymmetricKeyDetails = {} } = publicKey;
  if (asymmetricKeyType === 'rsa') return judgeRsa(publicKey, takes);
  let type = types[asymmetricKeyType];
  let what = asymmetricKeyType;
  if (asymmetricKeyType === 'ec') {
    // OpenSSL recognises a known curve behind explicit parameters; RFC 5480, section 2.1.1 allows named ones only.
    if (!isNamedCurve(publicKeyDer)) throw wrongType('on a curve with explicit parameters', takes);
    what = asymmetricKeyDetails.namedCurve ?? 'on a curve without a name';
    type = curves[what];
  }
  if (type === undefined || !takes.includes(type)) throw wrongType(type ?? what, takes);
}

function judgeRsa(publicKey: KeyObject, takes: readonly KeyType[]): void {
  const sizes = takes.flatMap((type) => (type.startsWith('RSA-') ? [Number(type.slice('RSA-'.length))] : []));
  if (sizes.length === 0) throw wrongType('RSA', takes);
  const { modulusLength = 0, publicExponent = 0n } = publicKey.asymmetricKeyDetails ?? {};
  const leastBits = Math.min(...sizes);
  if (modulusLength < leastBits || modulusLength > mostRsaBits) {
    const range = `RSA keys have ${leastBits} to ${mostRsaBits} bits here; this one has ${modulusLength}.`;
    throw new Fault('csr-key-weak', range);
  }
  if (publicExponent < rsaExponent.least || publicExponent > rsaExponent.most || publicExponent % 2n === 0n)
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
  new Fault('csr-key-type', `Keys are ${listOf(takes)} here; this one is ${what}.`);

function listOf(takes: readonly KeyType[]): string {
  const words = takes.map((type) =>
    type.startsWith('RSA-') ? `RSA of at least ${type.slice('RSA-'.length)} bits` : type,
  );
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** id-ecPublicKey with its tag and length; what follows it in a SubjectPublicKeyInfo are the parameters. */
const ecPublicKey = Buffer.from('06072a8648ce3d0201', 'hex');
const objectIdentifierTag = 0x06;

const isNamedCurve = (publicKeyDer: Buffer): boolean =>
  publicKeyDer[publicKeyDer.indexOf(ecPublicKey) + ecPublicKey.length] === objectIdentifierTag;
