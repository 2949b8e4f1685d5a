/** Whether one certificate has signed another, or itself. Says nothing of trust. */
import type { Certificate } from './certificate.ts';
import { fitsKey, isSignedBy } from './signature-algorithm.ts';

/** Never throws. The issuer's key must have been judged before: it is handed to OpenSSL here. */
export function isSigned(subject: Certificate, issuer: Certificate): boolean {
  const { signatureAlgorithm: algorithm, tbs: data, signature } = subject;
  if (!fitsKey(algorithm, issuer.key)) return false;
  try {
    return isSignedBy({ algorithm, data, signature }, issuer.publicKey());
  } catch {
    return false;
  }
}
