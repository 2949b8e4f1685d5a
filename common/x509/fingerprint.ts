/** The fingerprint that names a certificate everywhere in the house. */
import { hash } from 'node:crypto';
import type { Fingerprint } from '../identity.ts';

/** SHA-256 over the DER. */
export const fingerprintOf = (der: Buffer): Fingerprint => hash('sha256', der, 'hex') as Fingerprint;
