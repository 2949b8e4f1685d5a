/** The kinds of keys that a CA may have, and how one is made. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Fault } from '#common/fault.ts';
import type { CaSettings } from '../settings.ts';

export type CaKeyType = CaSettings['keyType'];

/** A new private key. Faults `unavailable` for ML-DSA where the runtime was built without it. */
export function makeKey(type: CaKeyType): KeyObject {
  switch (type) {
    case 'P-256':
    case 'P-384':
      return generateKeyPairSync('ec', { namedCurve: type }).privateKey;
    case 'Ed25519':
      return generateKeyPairSync('ed25519').privateKey;
    case 'RSA-2048':
    case 'RSA-3072':
    case 'RSA-4096':
      return generateKeyPairSync('rsa', { modulusLength: Number(type.slice(4)) }).privateKey;
    case 'ML-DSA-44':
      return makeMlDsaKey('ml-dsa-44');
    case 'ML-DSA-65':
      return makeMlDsaKey('ml-dsa-65');
  }
}

function makeMlDsaKey(type: 'ml-dsa-44' | 'ml-dsa-65'): KeyObject {
  try {
    // The overloads of generateKeyPairSync name one type each.
    return type === 'ml-dsa-44'
      ? generateKeyPairSync('ml-dsa-44').privateKey
      : generateKeyPairSync('ml-dsa-65').privateKey;
  } catch (cause) {
    throw new Fault(
      'unavailable',
      `This runtime cannot make ${type} keys: start with the one that npm ci installs, or choose another ca.keyType.`,
      { cause },
    );
  }
}
