/** What is decided to be signed, complete and as plain data: written down before the key is used, compared after. */

export const keyPurposes = ['clientAuth', 'serverAuth'] as const;
export type KeyPurpose = (typeof keyPurposes)[number];

/** Object identifiers of the attributes that a subject may have (RFC 5280, section 4.1.2.4). */
export const attributeIds = {
  CN: '2.5.4.3',
  serialNumber: '2.5.4.5',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
} as const;

/** An attribute of a subject beside the CN. */
export interface LeafAttribute {
  readonly type: Exclude<keyof typeof attributeIds, 'CN'>;
  readonly value: string;
}

/** All of a leaf but its public key, which is kept beside it as DER. */
export interface CertificatePlan {
  /** Lower-case hex, even length, positive, at most 159 bits. */
  readonly serialNumber: string;
  readonly commonName: string;
  /** What follows the CN in the subject, in order. */
  readonly subject: readonly LeafAttribute[];
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
  readonly purposes: readonly KeyPurpose[];
  /** Whole seconds in milliseconds since 1970: X.509 knows no fractions. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}
