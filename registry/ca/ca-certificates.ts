/** The certificates of the CA itself: a self-signed root, and an issuing CA under it that may sign leaves only. */
import 'reflect-metadata';
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  type Extension,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { dateOf } from '#common/clock.ts';
import { importKey } from '#common/x509/crypto-key.ts';
import type { CaSettings } from '../settings.ts';

const caUsage = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign;

/** PEM of a self-signed root (RFC 5280, section 4.2: CA, keyCertSign, cRLSign, key identifiers). */
export async function makeRootCertificate(
  key: KeyObject,
  settings: CaSettings,
  nowMs: number,
): Promise<string> {
  const name: JsonName = [{ CN: ['Fleetgate Root CA'] }, { O: ['Fleetgate'] }];
  return make(
    { subject: name, issuer: name, publicKey: createPublicKey(key), signingKey: key, nowMs },
    settings.rootLifetime,
    undefined,
  );
}

/** PEM of the issuing CA: path length 0, so that no certificate it signs can sign another. */
export async function makeIssuingCertificate(
  publicKey: KeyObject,
  root: { key: KeyObject; certificate: string },
  settings: CaSettings,
  nowMs: number,
): Promise<string> {
  const subject: JsonName = [
    { CN: [`Fleetgate Issuing CA ${randomBytes(3).toString('hex')}`] },
    { O: ['Fleetgate'] },
  ];
  const issuer = new X509Certificate(root.certificate);
  const names = { subject, issuer: issuer.subjectName.toJSON(), publicKey, signingKey: root.key, nowMs };
  return make(names, settings.issuingLifetime, 0);
}

interface Parts {
  subject: JsonName;
  issuer: JsonName;
  publicKey: KeyObject;
  signingKey: KeyObject;
  nowMs: number;
}

async function make(parts: Parts, lifetimeMs: number, pathLength: number | undefined): Promise<string> {
  const signing = importKey(parts.signingKey, 'sign');
  const publicKey = importKey(parts.publicKey, 'verify').key;
  const signer = importKey(createPublicKey(parts.signingKey), 'verify').key;
  const extensions: Extension[] = [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(caUsage, true),
    await SubjectKeyIdentifierExtension.create(publicKey),
    await AuthorityKeyIdentifierExtension.create(signer),
  ];
  const startMs = Math.floor(parts.nowMs / 1000) * 1000 - 3_600_000;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: makeSerialNumber(),
    subject: parts.subject,
    issuer: parts.issuer,
    notBefore: dateOf(startMs),
    notAfter: dateOf(startMs + 3_600_000 + lifetimeMs),
    publicKey,
    signingKey: signing.key,
    signingAlgorithm: signing.algorithm,
    extensions,
  });
  return `${certificate.toString('pem')}\n`;
}

/** A random serial number: 159 bits, positive, first byte never zero so that every reader prints it alike, hex. */
export function makeSerialNumber(): string {
  const bytes = randomBytes(20);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}
