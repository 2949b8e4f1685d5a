/** The certificates of the CA itself: a self-signed root, and an issuing CA under it that may sign leaves only. */
import { type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { parseTimestamp } from '#common/clock.ts';
import { certificatePem } from '#common/x509/pem.ts';
import type { CaSettings } from '../settings.ts';
import { makeCertificate } from './certificate.ts';
import type { KeyUsage } from './extensions.ts';
import { issuerIdentityOf, keyIdOf } from './issuer-identity.ts';
import { encodeName, type NameAttribute } from './name.ts';
import type { Signer } from './signer.ts';

const caUsage: readonly KeyUsage[] = ['keyCertSign', 'cRLSign'];
const hourMs = 3_600_000;

/** PEM of a self-signed root (RFC 5280, section 4.2: CA, keyCertSign, cRLSign, key identifiers). */
export async function makeRootCertificate(
  signer: Signer,
  settings: CaSettings,
  nowMs: number,
): Promise<string> {
  const subject = nameOf('Fleetgate Root CA');
  const publicKey = spkiOf(signer.publicKey);
  const startMs = wholeSeconds(nowMs);
  const fields = {
    serialNumber: makeSerialNumber(),
    issuerName: encodeName(subject),
    subject,
    notBeforeMs: startMs - hourMs,
    notAfterMs: startMs + settings.rootLifetime,
    publicKey,
    isCa: true,
    keyUsage: caUsage,
    authorityKeyId: keyIdOf(publicKey),
  };
  return certificatePem(await makeCertificate(fields, signer));
}

/**
 * PEM of the issuing CA: path length 0, so that no certificate it signs can sign another. It ends with its root at the
 * latest.
 */
export async function makeIssuingCertificate(
  publicKey: KeyObject,
  root: { signer: Signer; certificate: string },
  settings: CaSettings,
  nowMs: number,
): Promise<string> {
  const certificate = new X509Certificate(root.certificate);
  const issuer = issuerIdentityOf(certificate.raw);
  const startMs = wholeSeconds(nowMs);
  const fields = {
    serialNumber: makeSerialNumber(),
    issuerName: issuer.name,
    subject: makeIssuingName(),
    notBeforeMs: startMs - hourMs,
    notAfterMs: Math.min(startMs + settings.issuingLifetime, parseTimestamp(certificate.validTo)),
    publicKey: spkiOf(publicKey),
    isCa: true,
    pathLength: 0,
    keyUsage: caUsage,
    authorityKeyId: issuer.keyId,
  };
  return certificatePem(await makeCertificate(fields, root.signer));
}

/** The name of an issuing CA: no two are alike, since paths are built by name. */
export const makeIssuingName = (): readonly NameAttribute[] =>
  nameOf(`Fleetgate Issuing CA ${randomBytes(3).toString('hex')}`);

const nameOf = (commonName: string): readonly NameAttribute[] => [
  { type: 'CN', value: commonName },
  { type: 'O', value: 'Fleetgate' },
];

const spkiOf = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' });

/** X.509 knows no fractions of seconds. */
const wholeSeconds = (ms: number): number => Math.floor(ms / 1000) * 1000;

/** A random serial number: 159 bits, positive, first byte never zero so that every reader prints it alike, hex. */
export function makeSerialNumber(): string {
  const bytes = randomBytes(20);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}
