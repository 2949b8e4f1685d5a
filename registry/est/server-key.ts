/**
 * Keys that the registry makes for devices that cannot make good ones (RFC 7030, section 4.4), and the CSR that each is
 * certified by: what the client has asked for, about a key of the same kind as the one it showed. No key is kept.
 */
import 'reflect-metadata';
import { createPublicKey, generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { CertificationRequest } from '@peculiar/asn1-csr';
import { AsnConvert } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier, SubjectPublicKeyInfo } from '@peculiar/asn1-x509';
import { Fault } from '#common/fault.ts';

const generate = promisify(generateKeyPair);

/** Attributes that ask for the key to be encrypted (RFC 7030, sections 4.4.1.1 and 4.4.1.2). */
const encryptionAttributes = ['1.2.840.113549.1.9.16.2.37', '1.2.840.113549.1.9.16.2.54'];
const rsaBits = { least: 2048, most: 4096 };

export interface ServerKey {
  readonly privateKey: KeyObject;
  /** DER, signed with the key. */
  readonly csr: Buffer;
}

/**
 * The signature of the client's CSR proves nothing here, since its key is not certified. Faults `csr-malformed`,
 * `csr-key-type`, `csr-key-weak`; `forbidden` when the key is to be encrypted beyond TLS.
 */
export async function makeServerKey(clientCsr: Buffer): Promise<ServerKey> {
  const { request, publicKey } = read(clientCsr);
  const { privateKey } = await makeAlike(publicKey);
  const info = request.certificationRequestInfo;
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  info.subjectPKInfo = AsnConvert.parse(spki, SubjectPublicKeyInfo);
  const toBeSigned = Buffer.from(AsnConvert.serialize(info));
  const { hash, algorithm } = signatureOf(privateKey, info.subjectPKInfo);
  const signed = new CertificationRequest({
    certificationRequestInfo: info,
    signatureAlgorithm: algorithm,
    signature: new Uint8Array(sign(hash, toBeSigned, privateKey)).buffer,
  });
  return { privateKey, csr: Buffer.from(AsnConvert.serialize(signed)) };
}

function read(csr: Buffer): { request: CertificationRequest; publicKey: KeyObject } {
  let request: CertificationRequest;
  let publicKey: KeyObject;
  try {
    request = AsnConvert.parse(csr, CertificationRequest);
    const spki = AsnConvert.serialize(request.certificationRequestInfo.subjectPKInfo);
    publicKey = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch (cause) {
    throw new Fault('csr-malformed', 'The CSR does not parse as PKCS #10 with a public key.', { cause });
  }
  const attributes: readonly { type: string }[] | undefined = request.certificationRequestInfo.attributes;
  if (attributes?.some(({ type }) => encryptionAttributes.includes(type))) {
    throw new Fault(
      'forbidden',
      'Keys are made here for TLS to protect on their way, not encrypted beyond it; leave the DecryptKeyIdentifier out.',
    );
  }
  return { request, publicKey };
}

/** In a thread of the runtime's own. */
function makeAlike({
  asymmetricKeyType,
  asymmetricKeyDetails = {},
}: KeyObject): Promise<{ privateKey: KeyObject }> {
  const { namedCurve = '', modulusLength = 0 } = asymmetricKeyDetails;
  if (asymmetricKeyType === 'ec' && ['prime256v1', 'secp384r1'].includes(namedCurve))
    return generate('ec', { namedCurve });
  if (asymmetricKeyType === 'ed25519') return generate('ed25519');
  if (asymmetricKeyType === 'ml-dsa-44') return generate('ml-dsa-44');
  if (asymmetricKeyType === 'ml-dsa-65') return generate('ml-dsa-65');
  if (asymmetricKeyType !== 'rsa')
    throw new Fault(
      'csr-key-type',
      `Keys like the one of the CSR are not made here: ${namedCurve || asymmetricKeyType}.`,
    );
  if (modulusLength < rsaBits.least || modulusLength > rsaBits.most) {
    const { least, most } = rsaBits;
    throw new Fault(
      'csr-key-weak',
      `RSA keys made here have ${least} to ${most} bits; ${modulusLength} were asked for.`,
    );
  }
  return generate('rsa', { modulusLength });
}

/** RFC 5758, section 3.2; RFC 4055, section 5; RFC 8410 and RFC 9881, where key and signature have one identifier. */
function signatureOf(key: KeyObject, { algorithm: ofKey }: SubjectPublicKeyInfo) {
  const { asymmetricKeyType, asymmetricKeyDetails } = key;
  const known = (hash: string, algorithm: string, parameters?: null) => ({
    hash,
    algorithm: new AlgorithmIdentifier({ algorithm, parameters }),
  });
  if (asymmetricKeyType === 'rsa') return known('sha256', '1.2.840.113549.1.1.11', null);
  if (asymmetricKeyType !== 'ec')
    return { hash: null, algorithm: new AlgorithmIdentifier({ algorithm: ofKey.algorithm }) };
  return asymmetricKeyDetails?.namedCurve === 'secp384r1'
    ? known('sha384', '1.2.840.10045.4.3.3')
    : known('sha256', '1.2.840.10045.4.3.2');
}
