/** The issuing CA: the only file that has its key used for leaves. It signs what a plan says and decides nothing. */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { parseTimestamp } from '#common/clock.ts';
import type { CaKeys } from './ca-keys.ts';
import { makeCertificate } from './certificate.ts';
import type { AuthorityInfo, KeyUsage } from './extensions.ts';
import type { GeneralName } from './general-name.ts';
import { type IssuerIdentity, issuerIdentityOf } from './issuer-identity.ts';
import type { CertificatePlan, KeyPurpose } from './plan.ts';
import type { TbsSigner } from './signer.ts';

/** Where relying parties ask whether a leaf was revoked: URLs, plain http. */
export interface RevocationUrls {
  readonly crl: readonly string[];
  readonly ocsp: readonly string[];
}

/** Where every leaf says that things are; the same object as long as it is the same. */
interface Places {
  readonly authorityInfo: AuthorityInfo;
  readonly crlUrls: readonly string[];
}

const noRevocation: RevocationUrls = { crl: [], ocsp: [] };
const signatureOnly: readonly KeyUsage[] = ['digitalSignature'];

export class IssuingCa {
  /** PEM of the root, of the issuing CA, and of both. */
  readonly root: string;
  readonly issuing: string;
  readonly bundle: string;
  readonly certificate: X509Certificate;
  readonly notAfterMs: number;
  readonly identity: IssuerIdentity;
  /** For its CRLs, and for the certificate of whoever signs its OCSP answers. */
  readonly signer: TbsSigner;
  readonly #publicKey: KeyObject;
  readonly #issuersUrl: () => string;
  readonly #revocationUrls: () => RevocationUrls;
  readonly #purposes = new Map<string, readonly KeyPurpose[]>();
  #places: Places | undefined;

  private constructor(keys: CaKeys, issuersUrl: () => string, revocationUrls: () => RevocationUrls) {
    this.root = keys.root;
    this.issuing = keys.issuing;
    this.bundle = keys.root + keys.issuing;
    this.certificate = new X509Certificate(keys.issuing);
    this.notAfterMs = parseTimestamp(this.certificate.validTo);
    this.#publicKey = this.certificate.publicKey;
    this.identity = issuerIdentityOf(this.certificate.raw);
    this.signer = keys.signer;
    this.#issuersUrl = issuersUrl;
    this.#revocationUrls = revocationUrls;
  }

  /**
   * `issuersUrl` says where the issuing certificate can be fetched (AIA, RFC 5280 section 4.2.2.1), `revocationUrls`
   * where its CRL and OCSP responder are. The signer stays with whoever opened it.
   */
  static async open(
    keys: CaKeys,
    issuersUrl: () => string,
    revocationUrls: () => RevocationUrls = () => noRevocation,
  ): Promise<IssuingCa> {
    return new IssuingCa(keys, issuersUrl, revocationUrls);
  }

  /**
   * Signs the plan for a public key (SubjectPublicKeyInfo in DER) and gives the certificate in DER. Faults `unavailable`
   * when the key is out of reach.
   */
  async sign(plan: CertificatePlan, publicKey: Buffer): Promise<Buffer> {
    const fields = {
      serialNumber: plan.serialNumber,
      issuerName: this.identity.name,
      subject: [{ type: 'CN', value: plan.commonName }, ...plan.subject],
      notBeforeMs: plan.notBeforeMs,
      notAfterMs: plan.notAfterMs,
      publicKey,
      isCa: false,
      keyUsage: signatureOnly,
      extendedKeyUsage: this.#purposesOf(plan),
      names: namesOf(plan),
      authorityKeyId: this.identity.keyId,
      ...this.#placesNow(),
    };
    return makeCertificate(fields, this.signer);
  }

  /** Whether a certificate was signed by this CA. */
  isIssuerOf(certificate: X509Certificate): boolean {
    return certificate.verify(this.#publicKey);
  }

  /** The same list for the same purposes, so that it is encoded once. */
  #purposesOf({ purposes }: CertificatePlan): readonly KeyPurpose[] {
    const key = purposes.join();
    const known = this.#purposes.get(key);
    if (known) return known;
    this.#purposes.set(key, purposes);
    return purposes;
  }

  /** The URLs depend on the ports of the doors, which are open only after the CA is. */
  #placesNow(): Places {
    const issuers = this.#issuersUrl();
    const { crl, ocsp } = this.#revocationUrls();
    const known = this.#places;
    if (known?.authorityInfo.issuers[0] === issuers && same(known.crlUrls, crl)) {
      if (same(known.authorityInfo.ocsp, ocsp)) return known;
    }
    this.#places = { authorityInfo: { issuers: [issuers], ocsp: [...ocsp] }, crlUrls: [...crl] };
    return this.#places;
  }
}

const same = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((url, index) => url === b[index]);

const namesOf = (plan: CertificatePlan): GeneralName[] => [
  ...plan.uris.map((value) => ({ type: 'uri' as const, value })),
  ...plan.dnsNames.map((value) => ({ type: 'dns' as const, value })),
  ...plan.addresses.map((value) => ({ type: 'ip' as const, value })),
];
