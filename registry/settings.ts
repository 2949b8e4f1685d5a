/** What can be set of the registry: every key with its default, and its meaning in a sentence. Durations are
 * milliseconds and sizes bytes once loaded. docs/configuration.md lists the same keys, and a law compares the two. */
import Type, { type Static } from 'typebox';
import { Count, Duration, Port, Section, Size } from '#common/config/schema.ts';

export const registrySettings = Section(
  {
    port: Port(9443, 'Port of the registry door.'),
    maxBodySize: Size('64KiB', 'Longest request body.'),
    maxCsrSize: Size('16KiB', 'Longest CSR, in DER.'),
    enrollRate: Count(500, 'Most enrollments a second of one address; bursts of twice that pass.'),
    renewalsPerDevice: Count(
      20,
      'Most renewals an hour of one device; the same CSR sent again does not count.',
    ),
    failedAuthRate: Count(10, 'Most failed authentications a minute of one address; more are answered 429.'),
    idempotencyTtl: Duration('24h', 'How long the answer to an Idempotency-Key is kept.'),
    sweepInterval: Duration(
      '10s',
      'How often certificates are looked through for those that are to retire, or have expired.',
    ),
    receiptTimeout: Duration(
      '5s',
      'Longest that a revocation waits for the gateways to report closed connections.',
    ),
  },
  'The registry door.',
);

export const pkiSettings = Section(
  { port: Port(8080, 'Port of the PKI door.') },
  'The PKI door, plain HTTP.',
);

export const caSettings = Section(
  {
    keyType: Type.Enum(['P-256', 'P-384', 'Ed25519', 'RSA-2048', 'RSA-3072'], {
      default: 'P-256',
      description: 'Keys of the root and the issuing CA, when they are made.',
    }),
    rootLifetime: Duration('7300d', 'Validity of the root when it is made.'),
    issuingLifetime: Duration('1825d', 'Validity of the issuing CA when it is made.'),
    leafLifetime: Duration('365d', 'Validity of device certificates.'),
    backdate: Duration('1h', 'How far notBefore lies in the past, for devices whose clocks are wrong.'),
    doorLifetime: Duration(
      '30d',
      'Validity of the certificates of the doors; they are renewed after two thirds of it.',
    ),
    passphraseFile: Type.Optional(
      Type.String({
        description: 'File with the passphrase of the CA keys; made in the data folder when absent.',
      }),
    ),
  },
  'The certificate authority.',
);

export const registrySections = { registry: registrySettings, pki: pkiSettings, ca: caSettings };

export type RegistryDoorSettings = Static<typeof registrySettings>;
export type PkiSettings = Static<typeof pkiSettings>;
export type CaSettings = Static<typeof caSettings>;

export interface RegistrySettings {
  readonly registry: RegistryDoorSettings;
  readonly pki: PkiSettings;
  readonly ca: CaSettings;
}
