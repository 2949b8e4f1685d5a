/**
 * The public key of a certificate, as facts read from its DER, before any of it is handed to OpenSSL: a hostile key
 * (16,384 bits of RSA, a curve of its own) is refused without having been used.
 */
import { type Der, Fields, malformed, oidOf, readDer, tags, wholeOctets } from './der.ts';
import { curveOids, keyOids, nameOf } from './object-identifier.ts';

export type Curve = keyof typeof curveOids;
export type MlDsa = 'ml-dsa-44' | 'ml-dsa-65' | 'ml-dsa-87';

export type KeyFacts =
  | { readonly type: 'ec'; readonly curve: Curve }
  | { readonly type: 'rsa'; readonly bits: number; readonly exponent: bigint }
  | { readonly type: 'ed25519' }
  | { readonly type: MlDsa }
  /** A key that this house does not use, and why. */
  | { readonly type: 'unsupported'; readonly why: string };

/** Faults `certificate-malformed` (`public-key`). Keys of other kinds are `unsupported`, not faults. */
export function readKeyFacts(spki: Der): KeyFacts {
  const fields = new Fields(spki, 'a public key');
  const algorithm = new Fields(fields.take(tags.sequence, 'algorithm'), 'an algorithm');
  const bits = fields.take(tags.bitString, 'key');
  fields.end();
  const oid = oidOf(algorithm.take(tags.oid, 'identifier'));
  const parameters = algorithm.left > 0 ? algorithm.any('parameters') : null;
  algorithm.end();
  const key = wholeOctets(bits, 'a public key');
  return Object.freeze(factsOf(oid, parameters, key));
}

const mlDsaBytes: Readonly<Record<MlDsa, number>> = {
  'ml-dsa-44': 1312,
  'ml-dsa-65': 1952,
  'ml-dsa-87': 2592,
};
const coordinateBytes: Readonly<Record<Curve, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 };

function factsOf(oid: string, parameters: Der | null, key: Buffer): KeyFacts {
  const type = nameOf(keyOids, oid);
  if (type === null) return { type: 'unsupported', why: `its algorithm is ${oid}` };
  if (type === 'ec') return ecFacts(parameters, key);
  if (type === 'rsa') return rsaFacts(parameters, key);
  // RFC 8410, section 3 and RFC 9881, section 2: no parameters.
  const bytes = type === 'ed25519' ? 32 : mlDsaBytes[type];
  if (parameters || key.length !== bytes) throw malformed('public-key', `the ${type} key is odd`);
  return { type };
}

function ecFacts(parameters: Der | null, key: Buffer): KeyFacts {
  // RFC 5480, section 2.1.1: namedCurve, and nothing else (CVE-2020-0601).
  if (parameters?.tag !== tags.oid) return { type: 'unsupported', why: 'its curve is written out' };
  const oid = oidOf(parameters);
  const curve = nameOf(curveOids, oid);
  if (!curve) return { type: 'unsupported', why: `its curve is ${oid}` };
  if (key[0] !== 4) return { type: 'unsupported', why: 'its point is compressed' };
  if (key.length !== 1 + 2 * coordinateBytes[curve])
    throw malformed('public-key', 'the point has an odd length');
  return { type: 'ec', curve };
}

function rsaFacts(parameters: Der | null, key: Buffer): KeyFacts {
  // RFC 3279, section 2.3.1: parameters are NULL.
  if (parameters?.tag !== tags.null) throw malformed('public-key', 'the parameters of the RSA key are odd');
  const fields = new Fields(readDer(key), 'an RSA key');
  const modulus = fields.take(tags.integer, 'modulus').body;
  const exponent = fields.take(tags.integer, 'exponent').body;
  fields.end();
  if (modulus[0]! >= 0x80 || exponent[0]! >= 0x80) throw malformed('public-key', 'the RSA key is negative');
  if ((modulus[modulus.length - 1]! & 1) === 0) return { type: 'unsupported', why: 'its modulus is even' };
  const octets = modulus[0] === 0 ? modulus.subarray(1) : modulus;
  const bits = octets.length === 0 ? 0 : octets.length * 8 - (Math.clz32(octets[0]!) - 24);
  return { type: 'rsa', bits, exponent: exponent.length > 32 ? 0n : BigInt(`0x${exponent.toString('hex')}`) };
}

export type KeyProblem = 'algorithm' | 'weak-key' | 'key-too-large';

/**
 * Why the key is not good enough to be trusted or to act with, or null. RSA has 2,048 to 8,192 bits, a multiple of 8
 * (CA/Browser Forum, section 6.1.5), and an odd exponent of 3 to 2^64.
 */
export function judgeKey(key: KeyFacts): { problem: KeyProblem; detail: string } | null {
  if (key.type === 'unsupported')
    return { problem: 'algorithm', detail: `its key cannot be used: ${key.why}` };
  if (key.type !== 'rsa') return null;
  const { bits, exponent } = key;
  if (bits > 8192) return { problem: 'key-too-large', detail: `its RSA key has ${bits} bits, above 8192` };
  if (bits < 2048) return { problem: 'weak-key', detail: `its RSA key has ${bits} bits, below 2048` };
  if (bits % 8 !== 0)
    return { problem: 'weak-key', detail: `its RSA key has ${bits} bits, no multiple of 8` };
  if (exponent < 3n || exponent % 2n === 0n || exponent >> 64n !== 0n) {
    return { problem: 'weak-key', detail: 'the exponent of its RSA key is even, or not within 3 and 2^64' };
  }
  return null;
}
