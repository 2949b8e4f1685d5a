/**
 * A CRL of a foreign CA (RFC 5280, section 5), read once from DER. Its entries stay where they are: a million of them
 * cost four bytes each beside the file, and a look-up touches one. It says what is written; whether that is good enough
 * is judged by `judgeCrl`.
 */
import { randomInt } from 'node:crypto';
import { Fault } from '#common/fault.ts';
import type { Certificate } from '#common/x509/certificate.ts';
import { readTime } from '#common/x509/certificate-time.ts';
import { type Der, Fields, oidOf, readDer, tags, wholeOctets } from '#common/x509/der.ts';
import { isSameName, type Name, readName } from '#common/x509/name.ts';
import {
  fitsKey,
  isSignedBy,
  readSignatureAlgorithm,
  type SignatureAlgorithm,
} from '#common/x509/signature-algorithm.ts';
import { Tlv } from './tlv.ts';

/** Why a CRL is not taken. */
export const crlProblems = [
  'malformed',
  'too-large',
  'critical-extension',
  'partial',
  'no-number',
  'no-next-update',
  'wrong-issuer',
  'signature',
  'rolled-back',
  'expired',
  'not-yet-valid',
] as const;
export type CrlProblem = (typeof crlProblems)[number];

export class CrlRefused extends Error {
  readonly problem: CrlProblem;

  constructor(problem: CrlProblem, sentence: string, cause?: unknown) {
    super(sentence, { cause });
    this.problem = problem;
  }
}

/** CRLReason (section 5.3.1) by its number; 7 is not used. */
export const crlReasons = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  'unspecified',
  'removeFromCRL',
  'privilegeWithdrawn',
  'aACompromise',
] as const;
export type CrlReason = (typeof crlReasons)[number];

export interface ForeignCrl {
  readonly issuer: Name;
  /** Lower-case hex of the authority key identifier; null when it has none. */
  readonly authorityKeyId: string | null;
  readonly number: bigint;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly count: number;
  readonly der: Buffer;
  readonly signed: {
    readonly algorithm: SignatureAlgorithm;
    readonly data: Buffer;
    readonly signature: Buffer;
  };
  /** Why the serial number (hex, as in the directory) is listed; null when it is not. */
  reasonOf(serial: string): CrlReason | null;
  /** Every serial number, in lots; for what must be told of all of them. */
  serials(): Generator<string>;
}

const oids = {
  number: '2.5.29.20',
  reason: '2.5.29.21',
  deltaIndicator: '2.5.29.27',
  issuingPoint: '2.5.29.28',
  authorityKeyId: '2.5.29.35',
} as const;

/** Between these many entries the loop gets a turn. */
const entriesATurn = 20_000;
/** SEQUENCE, a serial number of one octet and a UTCTime. */
const smallestEntry = 20;

/** Rejects with a CrlRefused. `maxBytes` bounds it whole. */
export async function readCrl(bytes: Buffer, maxBytes: number): Promise<ForeignCrl> {
  if (bytes.length > maxBytes) throw new CrlRefused('too-large', `it is above ${maxBytes} bytes`);
  try {
    return await read(bytes);
  } catch (thrown) {
    if (thrown instanceof CrlRefused) throw thrown;
    if (thrown instanceof Fault) throw new CrlRefused('malformed', 'it cannot be read whole', thrown);
    throw thrown;
  }
}

async function read(der: Buffer): Promise<ForeignCrl> {
  const list = new Tlv(der, 0, der.length).enter(tags.sequence);
  if (list.limit !== der.length) throw malformed('bytes follow its end');
  const body = list.enter(tags.sequence);
  const tbs = der.subarray(body.outerStart, body.limit);
  const outer = readDer(list.take(tags.sequence));
  const signature = wholeOctets(readDer(list.take(tags.bitString)), 'its signature');
  list.end();

  // Version 2, written as 1: one with extensions (section 5.1.2.1).
  if (body.peek() !== tags.integer)
    throw new CrlRefused('no-number', 'it is of version 1, without a CRL number');
  if (!body.take(tags.integer).equals(Buffer.from([2, 1, 1]))) throw malformed('it is of an unknown version');
  const inner = readDer(body.take(tags.sequence));
  if (!inner.der.equals(outer.der)) throw malformed('it names two different signature algorithms');
  const issuer = readName(readDer(body.take(tags.sequence)));
  const thisUpdateMs = readTime(readDer(body.any()));
  const hasNext = body.peek() === tags.utcTime || body.peek() === tags.generalizedTime;
  const nextUpdateMs = hasNext ? readTime(readDer(body.any())) : Number.NaN;
  const entries = body.peek() === tags.sequence ? await indexed(body.enter(tags.sequence)) : noEntries;
  const extensions = body.peek() === 0xa0 ? extensionsOf(readDer(body.take(0xa0))) : noExtensions;
  body.end();
  if (!hasNext) throw new CrlRefused('no-next-update', 'it does not say when the next one comes');
  if (extensions.number === null)
    throw new CrlRefused('no-number', 'it has no CRL number (RFC 5280, section 5.2.3)');
  return {
    issuer,
    authorityKeyId: extensions.authorityKeyId,
    number: extensions.number,
    thisUpdateMs,
    nextUpdateMs,
    count: entries.count,
    der,
    signed: { algorithm: readSignatureAlgorithm(inner), data: tbs, signature },
    reasonOf: (serial) => entries.reasonOf(der, serial),
    serials: () => entries.serials(der),
  };
}

const malformed = (why: string) => new CrlRefused('malformed', why);

interface CrlExtensions {
  readonly number: bigint | null;
  readonly authorityKeyId: string | null;
}
const noExtensions: CrlExtensions = { number: null, authorityKeyId: null };

function extensionsOf(wrapper: Der): CrlExtensions {
  let found = noExtensions;
  for (const item of wrapper.items[0]?.items ?? []) {
    const { oid, critical, value } = readExtension(item);
    if (oid === oids.number) found = { ...found, number: numberOf(readDer(value)) };
    else if (oid === oids.authorityKeyId) found = { ...found, authorityKeyId: keyIdOf(readDer(value)) };
    else if (oid === oids.deltaIndicator) throw new CrlRefused('partial', 'it is a delta of another one');
    else if (oid === oids.issuingPoint) judgeScope(readDer(value));
    else if (critical)
      throw new CrlRefused('critical-extension', `it has the unknown critical extension ${oid}`);
  }
  return found;
}

function readExtension(item: Der): { oid: string; critical: boolean; value: Buffer } {
  const fields = new Fields(item, 'an extension');
  const oid = oidOf(fields.take(tags.oid, 'id'));
  const critical = fields.takeIf(tags.boolean) !== null;
  const value = fields.take(tags.octetString, 'value').body;
  fields.end();
  return { oid, critical, value };
}

function numberOf({ tag, body }: Der): bigint {
  // Up to 20 octets, not negative (section 5.2.3).
  if (tag !== tags.integer || body.length > 21 || body[0]! >= 0x80) throw malformed('its CRL number is odd');
  return BigInt(`0x${body.toString('hex')}`);
}

const keyIdOf = (value: Der): string | null =>
  value.items.find(({ tag }) => tag === 0x80)?.body.toString('hex') ?? null;

/** Section 5.2.5: a distribution point and "user certificates only" are whole for devices; other scopes are not. */
function judgeScope(value: Der): void {
  if (value.items.some(({ tag }) => tag !== 0xa0 && tag !== 0x81))
    throw new CrlRefused('partial', 'it is a part of a partitioned or indirect CRL');
}

interface Entries {
  readonly count: number;
  reasonOf(der: Buffer, serial: string): CrlReason | null;
  serials(der: Buffer): Generator<string>;
}

const noEntries: Entries = {
  count: 0,
  reasonOf: () => null,
  *serials() {},
};

/** An open-addressed table of where the entries are. Its hash is seeded: who writes the CRL does not choose collisions. */
async function indexed(list: Tlv): Promise<Entries> {
  const { bytes } = list;
  const offsets = new Uint32Array(Math.ceil((list.limit - list.at) / smallestEntry));
  let count = 0;
  while (!list.done) {
    offsets[count++] = list.at;
    judgeEntry(list.enter(tags.sequence));
    if (count % entriesATurn === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  const size = 2 ** Math.ceil(Math.log2(Math.max(2, count * 2)));
  const table = new Uint32Array(size);
  const seed = randomInt(2 ** 31);
  for (let n = 0; n < count; n++) {
    const serial = serialAt(bytes, offsets[n]!);
    let slot = hashOf(serial, seed) & (size - 1);
    while (table[slot] !== 0) slot = (slot + 1) & (size - 1);
    table[slot] = offsets[n]!;
    if (n % entriesATurn === entriesATurn - 1) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return {
    count,
    reasonOf(der, hex) {
      const serial = Buffer.from(hex, 'hex');
      for (let slot = hashOf(serial, seed) & (size - 1); table[slot] !== 0; slot = (slot + 1) & (size - 1))
        if (serialAt(der, table[slot]!).equals(serial)) return reasonAt(der, table[slot]!);
      return null;
    },
    *serials(der) {
      for (let n = 0; n < count; n++) yield serialAt(der, offsets[n]!).toString('hex');
    },
  };
}

/** The usual extension of an entry, its reason: 12 octets before the number. */
const plainReason = Buffer.from('300c300a0603551d1504030a01', 'hex');

/** Serial number, time, and nothing critical that would change what the entry says (section 5.3). */
function judgeEntry(entry: Tlv): void {
  entry.take(tags.integer);
  const time = entry.peek();
  if (time !== tags.utcTime && time !== tags.generalizedTime) throw malformed('an entry has no time');
  entry.any();
  if (entry.done) return;
  const written = entry.take(tags.sequence);
  if (written.length === plainReason.length + 1 && written.subarray(0, -1).equals(plainReason)) return;
  for (const item of readDer(written).items) {
    const { oid, critical } = readExtension(item);
    if (critical && oid !== oids.reason)
      throw new CrlRefused('critical-extension', `an entry has the unknown critical extension ${oid}`);
  }
  entry.end();
}

function serialAt(der: Buffer, at: number): Buffer {
  const serial = new Tlv(der, at, der.length).enter(tags.sequence).body(tags.integer);
  return serial.length > 1 && serial[0] === 0 ? serial.subarray(1) : serial;
}

function reasonAt(der: Buffer, at: number): CrlReason {
  const entry = new Tlv(der, at, der.length).enter(tags.sequence);
  entry.any();
  entry.any();
  if (entry.done) return 'unspecified';
  const extension = readDer(entry.take(tags.sequence)).items.map(readExtension);
  const reason = extension.find(({ oid }) => oid === oids.reason);
  return crlReasons[reason?.value[2] ?? 0] ?? 'unspecified';
}

function hashOf(bytes: Buffer, seed: number): number {
  let hash = seed;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/**
 * Whether the CRL may be believed now: of this CA, signed with its key, newer than `last`, and in time. Throws a
 * CrlRefused. `last` is the number of the one before it, null for the first.
 */
export function judgeCrl(crl: ForeignCrl, ca: Certificate, last: bigint | null, nowMs: number): void {
  const { extensions, key } = ca;
  if (!isIssuerOf(ca, crl)) throw new CrlRefused('wrong-issuer', 'it is of another CA');
  if (extensions.keyUsage && !extensions.keyUsage.usages.includes('cRLSign'))
    throw new CrlRefused('signature', 'the key of the CA is not meant to sign CRLs');
  if (!fitsKey(crl.signed.algorithm, key) || !isSignedBy(crl.signed, ca.publicKey()))
    throw new CrlRefused('signature', 'its signature is not of this CA');
  if (last !== null && crl.number < last)
    throw new CrlRefused('rolled-back', `its number is ${crl.number}, and ${last} has been seen`);
  if (crl.thisUpdateMs > nowMs + clockSkewMs) throw new CrlRefused('not-yet-valid', 'it is of the future');
  if (crl.nextUpdateMs < nowMs) throw new CrlRefused('expired', 'its nextUpdate has passed');
}

const clockSkewMs = 5 * 60_000;

/** By name, and by key identifier where both have one: several CAs may bear one name. */
export function isIssuerOf(ca: Certificate, { issuer, authorityKeyId }: ForeignCrl): boolean {
  const own = ca.extensions.subjectKeyId?.keyId;
  return isSameName(ca.subject, issuer) && (!own || authorityKeyId === null || own === authorityKeyId);
}
