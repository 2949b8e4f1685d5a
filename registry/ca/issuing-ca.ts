/** The issuing CA: the only file that uses its key. It signs what a plan says and decides nothing. */
import 'reflect-metadata';
import { createPublicKey, type KeyObject, X509Certificate as NodeCertificate } from 'node:crypto';
import {
  AuthorityInfoAccessExtension,
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { dateOf, parseTimestamp } from '#common/clock.ts';
import { importKey } from '#common/x509/crypto-key.ts';
import type { CaKeys } from './ca-keys.ts';
import type { CertificatePlan } from './plan.ts';

export class IssuingCa {
  /** PEM of the root, of the issuing CA, and of both. */
  readonly root: string;
  readonly issuing: string;
  readonly bundle: string;
  readonly certificate: NodeCertificate;
  readonly notAfterMs: number;
  readonly #publicKey: KeyObject;
  readonly #issuerName: JsonName;
  readonly #signing: ReturnType<typeof importKey>;
  readonly #authorityKeyId: Extension;
  readonly #issuersUrl: () => string;
  readonly #purposes = new Map<string, Extension>();
  #issuers: { readonly url: string; readonly extension: Extension } | undefined;

  private constructor(keys: CaKeys, authorityKeyId: Extension, issuersUrl: () => string) {
    this.root = keys.root;
    this.issuing = keys.issuing;
    this.bundle = keys.root + keys.issuing;
    this.certificate = new NodeCertificate(keys.issuing);
    this.notAfterMs = parseTimestamp(this.certificate.validTo);
    this.#publicKey = this.certificate.publicKey;
    this.#issuerName = new X509Certificate(keys.issuing).subjectName.toJSON();
    this.#signing = importKey(keys.issuingKey, 'sign');
    this.#authorityKeyId = authorityKeyId;
    this.#issuersUrl = issuersUrl;
  }

  /** `issuersUrl` says where the issuing certificate can be fetched (AIA, RFC 5280 section 4.2.2.1): plain http. */
  static async open(keys: CaKeys, issuersUrl: () => string): Promise<IssuingCa> {
    const publicKey = importKey(createPublicKey(keys.issuingKey), 'verify').key;
    return new IssuingCa(keys, await AuthorityKeyIdentifierExtension.create(publicKey), issuersUrl);
  }

  /** Signs the plan for a public key (SubjectPublicKeyInfo in DER) and gives the certificate in DER. */
  async sign(plan: CertificatePlan, publicKey: Buffer): Promise<Buffer> {
    const key = new PublicKey(publicKey);
    const certificate = await X509CertificateGenerator.create({
      serialNumber: plan.serialNumber,
      subject: [{ CN: [plan.commonName] }],
      issuer: this.#issuerName,
      notBefore: dateOf(plan.notBeforeMs),
      notAfter: dateOf(plan.notAfterMs),
      publicKey: key,
      signingKey: this.#signing.key,
      signingAlgorithm: this.#signing.algorithm,
      extensions: [
        noCa,
        signatureOnly,
        this.#purposesOf(plan),
        namesOf(plan),
        await SubjectKeyIdentifierExtension.create(key),
        this.#authorityKeyId,
        this.#issuersExtension(),
      ],
    });
    return Buffer.from(certificate.rawData);
  }

  #purposesOf({ purposes }: CertificatePlan): Extension {
    const key = purposes.join();
    let extension = this.#purposes.get(key);
    if (!extension) {
      extension = new ExtendedKeyUsageExtension(purposes.map((purpose) => ExtendedKeyUsage[purpose]));
      this.#purposes.set(key, extension);
    }
    return extension;
  }

  #issuersExtension(): Extension {
    const url = this.#issuersUrl();
    if (this.#issuers?.url !== url)
      this.#issuers = { url, extension: new AuthorityInfoAccessExtension({ caIssuers: [url] }) };
    return this.#issuers.extension;
  }

  /** Whether a certificate was signed by this CA. */
  isIssuerOf(certificate: NodeCertificate): boolean {
    return certificate.verify(this.#publicKey);
  }
}

/** What every leaf says alike: encoded once. */
const noCa = new BasicConstraintsExtension(false, undefined, true);
const signatureOnly = new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true);

const namesOf = (plan: CertificatePlan): Extension =>
  new SubjectAlternativeNameExtension([
    ...plan.uris.map((value) => ({ type: 'url' as const, value })),
    ...plan.dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...plan.addresses.map((value) => ({ type: 'ip' as const, value })),
  ]);
