/** What a CSR must be like: every refusal a named fault, then one function that reads as the policy. Pure. */
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Csr } from './csr.ts';

const clientAuth = '1.3.6.1.5.5.7.3.2';
const curves = ['prime256v1', 'secp384r1'];
const rsaBits = { least: 2048, most: 8192 };

const refusals = {
  signature: () =>
    new Fault(
      'csr-signature',
      'The signature of the CSR does not verify: whoever sent it has not shown to hold the key.',
    ),
  keyType: (what: string) =>
    new Fault('csr-key-type', `Keys are ECDSA P-256 or P-384, Ed25519, or RSA; this one is ${what}.`),
  rsaSize: (bits: number) =>
    new Fault(
      'csr-key-weak',
      `RSA keys have ${rsaBits.least} to ${rsaBits.most} bits; this one has ${bits}.`,
    ),
  rsaExponent: () =>
    new Fault('csr-key-weak', 'The public exponent of an RSA key is odd and at least 3; take 65537.'),
  subject: (device: string) =>
    new Fault('csr-subject', `The subject of the CSR names another device; its CN is ${device}, or absent.`),
  names: (uri: string) => new Fault('csr-san', `The CSR may ask for no subject alternative name but ${uri}.`),
  usage: () =>
    new Fault(
      'csr-usage',
      'A device certificate is for clientAuth only; the CSR asks for another extended key usage.',
    ),
  ca: () => new Fault('csr-ca-requested', 'A device certificate never signs others; the CSR asks for a CA.'),
};

/** Faults `csr-…` with the first rule that the CSR breaks. `uri` is the SPIFFE ID that the certificate will carry. */
export function judgeCsr(csr: Csr, device: DeviceId, uri: string): void {
  judgeKey(csr);
  if (!csr.possessed) throw refusals.signature();
  if (csr.commonNames.length > 1 || csr.commonNames.some((name) => name !== device))
    throw refusals.subject(device);
  if (csr.names.some((name) => name !== `url:${uri}`)) throw refusals.names(uri);
  if (csr.asksForCa) throw refusals.ca();
  if (csr.purposes.some((purpose) => purpose !== clientAuth)) throw refusals.usage();
}

function judgeKey({ publicKey, publicKeyDer }: Csr): void {
  const { asymmetricKeyType, asymmetricKeyDetails = {} } = publicKey;
  if (asymmetricKeyType === 'ed25519') return;
  if (asymmetricKeyType === 'ec') {
    // OpenSSL recognises a known curve behind explicit parameters; RFC 5480, section 2.1.1 allows named ones only.
    if (!isNamedCurve(publicKeyDer)) throw refusals.keyType('on a curve with explicit parameters');
    const { namedCurve = 'on a curve without a name' } = asymmetricKeyDetails;
    if (!curves.includes(namedCurve)) throw refusals.keyType(namedCurve);
    return;
  }
  if (asymmetricKeyType !== 'rsa') throw refusals.keyType(String(asymmetricKeyType));
  const { modulusLength = 0, publicExponent = 0n } = asymmetricKeyDetails;
  if (modulusLength < rsaBits.least || modulusLength > rsaBits.most) throw refusals.rsaSize(modulusLength);
  if (publicExponent < 3n || publicExponent % 2n === 0n) throw refusals.rsaExponent();
}

/** id-ecPublicKey with its tag and length; what follows it in a SubjectPublicKeyInfo are the parameters. */
const ecPublicKey = Buffer.from('06072a8648ce3d0201', 'hex');
const objectIdentifierTag = 0x06;

const isNamedCurve = (publicKeyDer: Buffer): boolean =>
  publicKeyDer[publicKeyDer.indexOf(ecPublicKey) + ecPublicKey.length] === objectIdentifierTag;
