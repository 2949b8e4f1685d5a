/** Bridges Node's KeyObject, which this house uses, and WebCrypto's CryptoKey, which @peculiar/x509 asks for. */
import type { KeyObject, webcrypto } from 'node:crypto';
import { Fault } from '../fault.ts';

const curves: Record<string, { namedCurve: string; hash: string }> = {
  prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
};

/** The key for one use, and the algorithm to sign with. Faults `csr-key-type` for keys that this house never uses. */
export function importKey(
  key: KeyObject,
  usage: 'sign' | 'verify',
): { key: webcrypto.CryptoKey; algorithm: webcrypto.Algorithm & { hash?: string } } {
  const algorithm = algorithmOf(key);
  return { key: key.toCryptoKey(algorithm as webcrypto.EcKeyImportParams, true, [usage]), algorithm };
}

function algorithmOf(key: KeyObject): webcrypto.Algorithm & { hash?: string; namedCurve?: string } {
  const { asymmetricKeyType, asymmetricKeyDetails } = key;
  if (asymmetricKeyType === 'ed25519') return { name: 'Ed25519' };
  if (asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const curve = asymmetricKeyType === 'ec' && curves[asymmetricKeyDetails?.namedCurve ?? ''];
  if (curve) return { name: 'ECDSA', ...curve };
  throw new Fault(
    'csr-key-type',
    `Keys are ECDSA P-256 or P-384, Ed25519, or RSA; not ${asymmetricKeyType}.`,
  );
}
