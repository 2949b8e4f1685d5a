/** Makes certificate signing requests (PKCS #10, RFC 2986), as a device would. Reading them is the registry's work. */
import 'reflect-metadata';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import { importKey } from './crypto-key.ts';

/** A CSR in PEM with the subject `CN=<commonName>` and nothing else, signed by the private key. */
export async function makeCsr(privateKey: KeyObject, commonName: string): Promise<string> {
  const { algorithm, key } = importKey(privateKey, 'sign');
  const publicKey = importKey(createPublicKey(privateKey), 'verify').key;
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [commonName] }],
    keys: { privateKey: key, publicKey },
    signingAlgorithm: algorithm,
  });
  return `${request.toString('pem')}\n`;
}
