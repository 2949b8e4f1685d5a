/** Impostors: certificates that name a real device and lead to no anchor of the gateway. */
import 'reflect-metadata';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { ExtendedKeyUsage, ExtendedKeyUsageExtension, X509CertificateGenerator } from '@peculiar/x509';
import { dateOf, systemClock } from '#common/clock.ts';
import { importKey } from '#common/x509/crypto-key.ts';

const hourMs = 3_600_000;

/** A self-signed client certificate in PEM for `CN=<deviceId>`. */
export async function makeForeignCertificate(privateKey: KeyObject, deviceId: string): Promise<string> {
  const { key, algorithm } = importKey(privateKey, 'sign');
  const nowMs = systemClock.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: [{ CN: [deviceId] }],
    notBefore: dateOf(nowMs - hourMs),
    notAfter: dateOf(nowMs + hourMs),
    keys: { privateKey: key, publicKey: importKey(createPublicKey(privateKey), 'verify').key },
    signingAlgorithm: algorithm,
    extensions: [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])],
  });
  return `${certificate.toString('pem')}\n`;
}
