/** Certificates of every kind, good and hostile, signed with real keys. All parts can be replaced by bytes. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import {
  bits,
  boolean,
  context,
  contextText,
  integer,
  nothing,
  octets,
  oid,
  sequence,
  set,
  text,
  time,
  tlv,
} from './der-writer.ts';

export interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export const ecKeys = (namedCurve = 'P-256'): Keys => generateKeyPairSync('ec', { namedCurve });
export const rsaKeys = (modulusLength: number, publicExponent = 65_537): Keys =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent });

export const spkiOf = ({ publicKey }: Keys): Buffer => publicKey.export({ type: 'spki', format: 'der' });

/** A signature algorithm: its identifier, and how to sign. */
export interface Signing {
  readonly identifier: Buffer;
  readonly hash: string | null;
}

const rsaSigning = (arc: number, hash: string): Signing => ({
  identifier: sequence(oid(`1.2.840.113549.1.1.${arc}`), nothing),
  hash,
});
const ecSigning = (arc: string, hash: string): Signing => ({
  identifier: sequence(oid(`1.2.840.10045.4.${arc}`)),
  hash,
});
const plainSigning = (dotted: string): Signing => ({ identifier: sequence(oid(dotted)), hash: null });

export const signings = {
  'rsa-md5': rsaSigning(4, 'md5'),
  'rsa-sha1': rsaSigning(5, 'sha1'),
  'rsa-sha256': rsaSigning(11, 'sha256'),
  'rsa-sha384': rsaSigning(12, 'sha384'),
  'ecdsa-sha1': ecSigning('1', 'sha1'),
  'ecdsa-sha256': ecSigning('3.2', 'sha256'),
  'ecdsa-sha384': ecSigning('3.3', 'sha384'),
  'ecdsa-sha512': ecSigning('3.4', 'sha512'),
  ed25519: plainSigning('1.3.101.112'),
  'ml-dsa-44': plainSigning('2.16.840.1.101.3.4.3.17'),
  'ml-dsa-65': plainSigning('2.16.840.1.101.3.4.3.18'),
  'ml-dsa-87': plainSigning('2.16.840.1.101.3.4.3.19'),
} as const;

function signingOf({ privateKey }: Keys): Signing {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = privateKey;
  if (type === 'rsa') return signings['rsa-sha256'];
  if (type === 'ec') {
    const byCurve = { secp384r1: 'ecdsa-sha384', secp521r1: 'ecdsa-sha512' } as const;
    return signings[byCurve[details?.namedCurve as keyof typeof byCurve] ?? 'ecdsa-sha256'];
  }
  return signings[type as 'ed25519' | 'ml-dsa-44' | 'ml-dsa-65' | 'ml-dsa-87'];
}

export const attribute = (dotted: string, value: Buffer): Buffer => sequence(oid(dotted), value);
export const nameOf = (...rdns: readonly Buffer[][]): Buffer => sequence(...rdns.map((rdn) => set(...rdn)));
export const cn = (value: string): Buffer => nameOf([attribute('2.5.4.3', text(0x0c, value))]);
export const noName: Buffer = sequence();

/** An extension by its DER value. */
export const extension = (dotted: string, value: Buffer, critical = false): Buffer =>
  sequence(oid(dotted), ...(critical ? [boolean(true)] : []), octets(value));

export const dns = (value: string): Buffer => contextText(2, value);
export const uri = (value: string): Buffer => contextText(6, value);
export const email = (value: string): Buffer => contextText(1, value);
export const ip = (hex: string): Buffer => tlv(0x87, Buffer.from(hex, 'hex'));
export const directory = (name: Buffer): Buffer => context(4, name);
export const otherName = (dotted: string, value: Buffer): Buffer =>
  context(0, oid(dotted), context(0, value));

export const keyUsageBits = {
  digitalSignature: 0,
  keyEncipherment: 2,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
} as const;

export const basicConstraints = (ca: boolean, pathLength?: number, critical = true): Buffer =>
  extension(
    '2.5.29.19',
    sequence(...(ca ? [boolean(true)] : []), ...(pathLength === undefined ? [] : [integer(pathLength)])),
    critical,
  );
export function keyUsage(...usages: readonly (keyof typeof keyUsageBits)[]): Buffer {
  const at: number[] = usages.map((usage) => keyUsageBits[usage]);
  const octet = at.reduce((sum: number, bit) => sum | (0x80 >> bit), 0);
  return extension('2.5.29.15', bits(Buffer.from([octet]), 7 - Math.max(...at)), true);
}
export const extKeyUsage = (...purposes: readonly string[]): Buffer =>
  extension('2.5.29.37', sequence(...purposes.map(oid)));
export const altNames = (names: readonly Buffer[], critical = false): Buffer =>
  extension('2.5.29.17', sequence(...names), critical);
export const nameConstraints = (permitted: readonly Buffer[], excluded: readonly Buffer[] = []): Buffer => {
  const subtrees = (number: number, names: readonly Buffer[]) =>
    names.length === 0 ? [] : [context(number, ...names.map((name) => sequence(name)))];
  return extension('2.5.29.30', sequence(...subtrees(0, permitted), ...subtrees(1, excluded)), true);
};
export const subjectKeyId = (keyId: Buffer): Buffer => extension('2.5.29.14', octets(keyId));
export const authorityKeyId = (keyId: Buffer): Buffer => extension('2.5.29.35', sequence(tlv(0x80, keyId)));

export const clientAuth = '1.3.6.1.5.5.7.3.2';
export const serverAuth = '1.3.6.1.5.5.7.3.1';
export const anyPurpose = '2.5.29.37.0';

/** Everything that can be other than usual. Extensions go by a name of the test's choice; null leaves one out. */
export interface Plan {
  readonly subject?: Buffer;
  readonly issuer?: Buffer;
  readonly keys?: Keys;
  readonly spki?: Buffer;
  readonly version?: Buffer;
  /** The whole INTEGER. */
  readonly serial?: Buffer;
  readonly from?: string | Buffer;
  readonly until?: string | Buffer;
  readonly signing?: Signing;
  /** The algorithm inside what is signed, when it is another. */
  readonly inner?: Buffer;
  readonly extensions?: Readonly<Record<string, Buffer | null>>;
  readonly wrapExtensions?: (list: readonly Buffer[]) => Buffer;
  readonly signature?: Buffer;
}

export interface Forged {
  readonly der: Buffer;
  readonly subject: Buffer;
  readonly keys: Keys;
  readonly keyId: Buffer;
}

const keyIdOf = (spki: Buffer): Buffer => createHash('sha1').update(spki).digest();
let serial = 0x4000_0000n;

function forge(plan: Plan, issuer: Forged | null, usual: Record<string, Buffer | null>): Forged {
  const keys = plan.keys ?? ecKeys();
  const spki = plan.spki ?? spkiOf(keys);
  const subject = plan.subject ?? cn('nobody');
  const keyId = keyIdOf(spki);
  const signer = issuer?.keys ?? keys;
  const signing = plan.signing ?? signingOf(signer);
  const list = Object.values({
    ...usual,
    subjectKeyId: subjectKeyId(keyId),
    authorityKeyId: authorityKeyId(issuer?.keyId ?? keyId),
    ...plan.extensions,
  }).filter((each) => each !== null);
  const at = (when: string | Buffer) => (typeof when === 'string' ? time(when) : when);
  const tbs = sequence(
    plan.version ?? context(0, integer(2)),
    plan.serial ?? integer(++serial),
    plan.inner ?? signing.identifier,
    plan.issuer ?? issuer?.subject ?? subject,
    sequence(at(plan.from ?? '2026-01-01T00:00:00Z'), at(plan.until ?? '2036-01-01T00:00:00Z')),
    subject,
    spki,
    plan.wrapExtensions ? plan.wrapExtensions(list) : context(3, sequence(...list)),
  );
  const signature = plan.signature ?? sign(signing.hash, tbs, signer.privateKey);
  return { der: sequence(tbs, signing.identifier, bits(signature)), subject, keys, keyId };
}

/** A CA, self-signed without an issuer. */
export const forgeCa = (plan: Plan, issuer: Forged | null = null): Forged =>
  forge(plan, issuer, {
    basicConstraints: basicConstraints(true),
    keyUsage: keyUsage('keyCertSign', 'cRLSign'),
  });

/** A device's certificate, as this house issues them. */
export const forgeLeaf = (plan: Plan, issuer: Forged | null): Forged =>
  forge({ subject: cn('pump-7'), ...plan }, issuer, {
    basicConstraints: extension('2.5.29.19', sequence(), true),
    keyUsage: keyUsage('digitalSignature'),
    extKeyUsage: extKeyUsage(clientAuth),
    altNames: altNames([uri('spiffe://plant.example/fleet/water/device/pump-7')]),
  });
