/** PEM around DER (RFC 7468). Strict in what it reads: one block, the right label, nothing beside it but white space. */
import { Fault } from '../fault.ts';

const wrap = (base64: string): string => base64.replace(/(.{64})(?=.)/g, '$1\n');

/** DER as PEM under a label, ending in a newline. */
export const pem = (label: string, der: Buffer): string =>
  `-----BEGIN ${label}-----\n${wrap(der.toString('base64'))}\n-----END ${label}-----\n`;

/** A certificate as PEM, ending in a newline. */
export const certificatePem = (der: Buffer): string => pem('CERTIFICATE', der);

/** The DER of every certificate in a text of ours, in its order. */
export const certificatesDer = (pem: string): Buffer[] =>
  [...pem.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)].map(
    ([, base64 = '']) => Buffer.from(base64, 'base64'),
  );

const requestPattern =
  /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s([A-Za-z0-9+/=\s]+)-----END (NEW )?CERTIFICATE REQUEST-----\s*$/;

/** The DER of a CSR in PEM. Faults `csr-malformed`. */
export function csrDer(text: string): Buffer {
  const base64 = requestPattern.exec(text)?.[2]?.replace(/\s/g, '');
  if (!base64 || base64.length % 4 !== 0) {
    throw new Fault('csr-malformed', 'A CSR is one PEM block "CERTIFICATE REQUEST" and nothing else.');
  }
  return Buffer.from(base64, 'base64');
}

const certificatePattern =
  /^\s*(-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)*$/;

/** The same of a text of somebody else's: certificates and nothing beside them, none of an empty text. Faults `malformed`. */
export function certificateBundle(pem: string): Buffer[] {
  const malformed = new Fault(
    'malformed',
    'A certificate is a PEM block "CERTIFICATE", and nothing else beside it.',
  );
  if (!certificatePattern.test(pem)) throw malformed;
  return [...pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g)].map(
    ([, text = '']) => {
      const base64 = text.replace(/\s/g, '');
      if (base64.length % 4 !== 0) throw malformed;
      return Buffer.from(base64, 'base64');
    },
  );
}

/** The DER of the one certificate in a text of somebody else's. Faults `malformed`. */
export function certificateDer(pem: string): Buffer {
  const [der, ...more] = certificateBundle(pem);
  if (!der || more.length > 0) throw new Fault('malformed', 'One certificate in PEM was expected.');
  return der;
}
