/** An issuer for tests of what issuers sign: a self-signed CA of any key type, and leaves under it. */
import 'reflect-metadata';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { importKey } from '#common/x509/crypto-key.ts';
import { FileSigner } from '../../registry/ca/file-signer.ts';
import { type IssuerIdentity, issuerIdentityOf } from '../../registry/ca/issuer-identity.ts';
import type { TbsSigner } from '../../registry/ca/signer.ts';

export const keyTypes = ['P-256', 'P-384', 'Ed25519', 'RSA-2048', 'RSA-3072'] as const;
export type KeyType = (typeof keyTypes)[number];

export const makeKey = (type: KeyType): KeyObject => {
  if (type === 'Ed25519') return generateKeyPairSync('ed25519').privateKey;
  if (type === 'P-256' || type === 'P-384') return generateKeyPairSync('ec', { namedCurve: type }).privateKey;
  return generateKeyPairSync('rsa', { modulusLength: Number(type.slice(4)) }).privateKey;
};

export interface TestIssuer {
  readonly pem: string;
  readonly identity: IssuerIdentity;
  readonly signer: TbsSigner;
  readonly notAfterMs: number;
  /** PEM of a leaf. */
  leaf(serial: string): Promise<string>;
}

export async function makeTestIssuer(type: KeyType, name = `Issuer ${type}`): Promise<TestIssuer> {
  const key = makeKey(type);
  const signing = importKey(key, 'sign');
  const publicKey = importKey(createPublicKey(key), 'verify').key;
  const subject: JsonName = [{ CN: [name] }, { O: ['Zürich & Söhne'] }];
  const [notBefore, notAfter] = [new Date(Date.now() - 3_600_000), new Date(Date.now() + 86_400_000 * 30)];
  const common = {
    issuer: subject,
    notBefore,
    notAfter,
    signingKey: signing.key,
    signingAlgorithm: signing.algorithm,
  };
  const keyId = await AuthorityKeyIdentifierExtension.create(publicKey);
  const certificate = await X509CertificateGenerator.create({
    ...common,
    serialNumber: '41',
    subject,
    publicKey,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return {
    pem: `${certificate.toString('pem')}\n`,
    identity: issuerIdentityOf(Buffer.from(certificate.rawData)),
    signer: new FileSigner(key),
    notAfterMs: notAfter.getTime(),
    async leaf(serialNumber) {
      const leafKey = importKey(createPublicKey(makeKey('P-256')), 'verify').key;
      const leaf = await X509CertificateGenerator.create({
        ...common,
        serialNumber,
        subject: [{ CN: [`leaf ${serialNumber}`] }],
        publicKey: leafKey,
        extensions: [new BasicConstraintsExtension(false, undefined, true), keyId],
      });
      return `${leaf.toString('pem')}\n`;
    },
  };
}
