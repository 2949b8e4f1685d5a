/** The issuing CA: the only file that uses its key. It signs what a plan says and decides nothing. */
import 'reflect-metadata';
import { createPublicKey, type KeyObject, X509Certificate as NodeCertificate } from 'node:crypto';
import {
  AuthorityInfoAccessExtension,
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  CRLDistributionPointsExtension,
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
import { type IssuerIdentity, issuerIdentityOf } from './issuer-identity.ts';
import { localSigner } from './local-signer.ts';
import { attributeIds, type CertificatePlan } from './plan.ts';
import type { TbsSigner } from './tbs-signer.ts';

/** Where relying parties ask whether a leaf was revoked: URLs, plain http. */
export interface RevocationUrls {
  readonly crl: readonly string[];
  readonly ocsp: readonly string[];
}

const noRevocation: RevocationUrls = { crl: [], ocsp: [] };

export class IssuingCa {
  /** PEM of the root, of the issuing CA, and of both. */
  readonly root: string;
  readonly issuing: string;
  readonly bundle: string;
  readonly certificate: NodeCertificate;
  readonly notAfterMs: number;
  readonly identity: IssuerIdentity;
  /** For its CRLs, and for the certificate of whoever signs its OCSP answers. */
  readonly signer: TbsSigner;
  readonly #publicKey: KeyObject;
  readonly #issuerName: JsonName;
  readonly #signing: ReturnType<typeof importKey>;
  readonly #authorityKeyId: Extension;
  readonly #issuersUrl: () => string;
  readonly #revocationUrls: () => RevocationUrls;
  readonly #purposes = new Map<string, Extension>();
  /** Encoded once for the URLs as they are. */
  #places: { readonly urls: string; readonly extensions: readonly Extension[] } | undefined;

  private constructor(
    keys: CaKeys,
    authorityKeyId: Extension,
    issuersUrl: () => string,
    revocationUrls: () => RevocationUrls,
  ) {
    this.root = keys.root;
    this.issuing = keys.issuing;
    this.bundle = keys.root + keys.issuing;
    this.certificate = new NodeCertificate(keys.issuing);
    this.notAfterMs = parseTimestamp(this.certificate.validTo);
    this.#publicKey = this.certificate.publicKey;
    this.#issuerName = new X509Certificate(keys.issuing).subjectName.toJSON();
    this.#signing = importKey(keys.issuingKey, 'sign');
    this.identity = issuerIdentityOf(this.certificate.raw);
    this.signer = localSigner(keys.issuingKey);
    this.#authorityKeyId = authorityKeyId;
    this.#issuersUrl = issuersUrl;
    this.#revocationUrls = revocationUrls;
  }

  /**
   * `issuersUrl` says where the issuing certificate can be fetched (AIA, RFC 5280 section 4.2.2.1), `revocationUrls`
   * where its CRL and OCSP responder are.
   */
  static async open(
    keys: CaKeys,
    issuersUrl: () => string,
    revocationUrls: () => RevocationUrls = () => noRevocation,
  ): Promise<IssuingCa> {
    const publicKey = importKey(createPublicKey(keys.issuingKey), 'verify').key;
    const authorityKeyId = await AuthorityKeyIdentifierExtension.create(publicKey);
    return new IssuingCa(keys, authorityKeyId, issuersUrl, revocationUrls);
  }

  /** Signs the plan for a public key (SubjectPublicKeyInfo in DER) and gives the certificate in DER. */
  async sign(plan: CertificatePlan, publicKey: Buffer): Promise<Buffer> {
    const key = new PublicKey(publicKey);
    const certificate = await X509CertificateGenerator.create({
      serialNumber: plan.serialNumber,
      subject: [
        { CN: [plan.commonName] },
        ...plan.subject.map(({ type, value }) => ({ [attributeIds[type]]: [value] })),
      ],
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
        ...this.#placesNow(),
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

  /** The URLs depend on the ports of the doors, which are open only after the CA is. */
  #placesNow(): readonly Extension[] {
    const caIssuers = [this.#issuersUrl()];
    const { crl, ocsp } = this.#revocationUrls();
    const urls = [...caIssuers, ...crl, ...ocsp].join(' ');
    if (this.#places?.urls !== urls) {
      const extensions: Extension[] = [
        new AuthorityInfoAccessExtension({ caIssuers, ...(ocsp.length > 0 && { ocsp: [...ocsp] }) }),
      ];
      if (crl.length > 0) extensions.push(new CRLDistributionPointsExtension([...crl]));
      this.#places = { urls, extensions };
    }
    return this.#places.extensions;
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
