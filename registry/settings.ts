/** What can be set of the registry: every key with its default, and its meaning in a sentence. Durations are
 * milliseconds and sizes bytes once loaded. docs/configuration.md lists the same keys, and a law compares the two. */
import Type, { type Static } from 'typebox';
import { Count, Duration, Flag, Port, Section, Size } from '#common/config/schema.ts';

export const registrySettings = Section(
  {
    port: Port(9443, 'Port of the registry door.'),
    maxBodySize: Size('64KiB', 'Longest request body.'),
    maxCsrSize: Size('16KiB', 'Longest CSR, in DER.'),
    maxImportLine: Size('64KiB', 'Longest line of an import.'),
    enrollRate: Count(500, 'Most enrollments a second of one address; bursts of twice that pass.'),
    renewalsPerDevice: Count(
      20,
      'Most renewals an hour of one device; the same CSR sent again does not count.',
    ),
    failedAuthRate: Count(10, 'Most failed authentications a minute of one address; more are answered 429.'),
    serverKeygen: Flag(false, 'Whether EST `serverkeygen` may make the keys of devices.'),
    approvalRetry: Duration(
      '30s',
      'When a device whose enrollment waits for an operator is told to ask again.',
    ),
    approvalTtl: Duration(
      '7d',
      'How long an enrollment waits for an operator, and its approval for the device.',
    ),
    maxPendingEnrollments: Count(10_000, 'Most enrollments that wait for an operator at once.'),
    idempotencyTtl: Duration('24h', 'How long the answer to an Idempotency-Key is kept.'),
    sweepInterval: Duration(
      '10s',
      'How often certificates are looked through for those that are to retire, or have expired.',
    ),
    receiptTimeout: Duration(
      '5s',
      'Longest that a revocation waits for the gateways to report closed connections.',
    ),
    maxCommandsPerDevice: Count(100, 'Most commands that wait for one device.'),
    maxCommandSize: Size('64KiB', 'Longest payload of a command, and of a reply.'),
    commandTtl: Duration('1h', 'How long a command lives when its sender does not say.'),
    maxCommandTtl: Duration('7d', 'Longest time to live of a command.'),
    maxCommandWait: Duration('60s', 'Longest that a call waits for the reply to a command.'),
    maxCommandWaits: Count(1000, 'Most calls that wait for replies at once.'),
    commandRetention: Duration('7d', 'How long a command can be looked up after its time to live.'),
  },
  'The registry door.',
);

export const pkiSettings = Section(
  {
    port: Port(8080, 'Port of the PKI door.'),
    url: Type.Optional(
      Type.String({
        pattern: '^http://[^/?#]+(/[^?#]*)?$',
        description:
          'Where everybody reaches the PKI door, as certificates will say; its own address when absent.',
      }),
    ),
    crlLifetime: Duration('24h', 'From one CRL to its nextUpdate; the next is signed after half of it.'),
    ocspLifetime: Duration('1h', 'How long an OCSP answer holds; it is given again for half of it.'),
    maxOcspRequest: Size('4KiB', 'Longest OCSP request.'),
  },
  'The PKI door, plain HTTP.',
);

const fileSigner = Type.Object(
  { type: Type.Literal('file') },
  { additionalProperties: false, description: 'The issuing key is in the data folder, encrypted.' },
);

const pkcs11Signer = Type.Object(
  {
    type: Type.Literal('pkcs11'),
    module: Type.String({ description: 'Path of the PKCS #11 module (a shared library).' }),
    tokenLabel: Type.String({ description: 'Label of the token.' }),
    keyLabel: Type.String({ description: 'Label (CKA_LABEL) of the private key and of its public key.' }),
    pinFile: Type.String({ description: 'File with the PIN of the user.' }),
    timeout: Duration('10s', 'A signature that the token has not made by then has failed.'),
  },
  { additionalProperties: false, description: 'The issuing key is in a PKCS #11 token and never leaves it.' },
);

export const caSettings = Section(
  {
    keyType: Type.Enum(
      ['P-256', 'P-384', 'Ed25519', 'RSA-2048', 'RSA-3072', 'RSA-4096', 'ML-DSA-44', 'ML-DSA-65'],
      {
        default: 'P-256',
        description: 'Keys of the root and the issuing CA, when they are made.',
      },
    ),
    // A place is kept for Vault: a third object with `type: vault`.
    signer: Type.Union([fileSigner, pkcs11Signer], {
      default: { type: 'file' },
      description: 'Where the issuing key is.',
    }),
    rootLifetime: Duration('7300d', 'Validity of the root when it is made.'),
    issuingLifetime: Duration('1825d', 'Validity of the issuing CA when it is made.'),
    leafLifetime: Duration('365d', 'Validity of device certificates.'),
    backdate: Duration('1h', 'How far notBefore lies in the past, for devices whose clocks are wrong.'),
    doorLifetime: Duration(
      '30d',
      'Validity of the certificates of the doors; they are renewed after two thirds of it.',
    ),
    ocspSignerLifetime: Duration(
      '30d',
      'Validity of the certificates that OCSP answers are signed with; renewed after two thirds of it.',
    ),
    passphraseFile: Type.Optional(
      Type.String({
        description: 'File with the passphrase of the CA keys; made in the data folder when absent.',
      }),
    ),
  },
  'The certificate authority.',
);

export const foreignSettings = Section(
  {
    maxAnchors: Count(100, 'Most trust anchors of manufacturers.'),
    maxJitDevices: Count(100_000, 'Most devices that one anchor brings in just in time.'),
    jitRate: Count(100, 'Most devices a second that one anchor brings in; bursts of twice that pass.'),
    maxCrlSize: Size('64MiB', 'Longest CRL of a foreign CA.'),
    fetchTimeout: Duration('10s', 'A CRL or an OCSP answer that has not come by then is not there.'),
  },
  'Certificates of foreign CAs.',
);

export const registrySections = {
  registry: registrySettings,
  pki: pkiSettings,
  ca: caSettings,
  foreign: foreignSettings,
};

export type RegistryDoorSettings = Static<typeof registrySettings>;
export type PkiSettings = Static<typeof pkiSettings>;
export type CaSettings = Static<typeof caSettings>;
export type Pkcs11Settings = Static<typeof pkcs11Signer>;
export type ForeignSettings = Static<typeof foreignSettings>;

export interface RegistrySettings {
  readonly registry: RegistryDoorSettings;
  readonly pki: PkiSettings;
  readonly ca: CaSettings;
  readonly foreign: ForeignSettings;
}
