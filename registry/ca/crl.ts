/**
 * Certificate revocation lists (RFC 5280, section 5), complete and not partitioned: the part to be signed, and the
 * whole. What is revoked, and which number comes next, is decided elsewhere.
 */
import { Fault } from '#common/fault.ts';
import { reasonCodeOf } from './crl-reason.ts';
import {
  bitString,
  context,
  der,
  enumerated,
  extension,
  header,
  integerOf,
  oid,
  sequence,
  tags,
  time,
} from './der-writer.ts';

export interface RevokedEntry {
  /** Lower-case hex, even length, positive, at most 20 octets, the first not zero. */
  readonly serial: string;
  readonly revokedMs: number;
  /** A word of CRLReason; others, and `unspecified`, are left out. */
  readonly reason: string | null;
}

export interface CrlContents {
  /** Name of the issuer in DER. */
  readonly issuerName: Buffer;
  readonly authorityKeyId: Buffer;
  /** At most 20 octets. */
  readonly number: bigint;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** AlgorithmIdentifier in DER of the signature that will follow. */
  readonly algorithm: Buffer;
}

const oids = { crlNumber: oid('2.5.29.20'), authorityKeyIdentifier: oid('2.5.29.35') };
const version2 = integerOf(1n);
/** Longest entry: 23 octets of serial number, 17 of GeneralizedTime, 14 of reason, 2 of header. */
const entryLimit = 56;

/**
 * TBSCertList in DER. An issuingDistributionPoint is left out on purpose: a list that names a scope is not taken for
 * complete by OpenSSL. Entries stand in the order in which they come.
 */
export function buildTbsCrl(contents: CrlContents, revoked: Iterable<RevokedEntry>): Buffer {
  const entries = writeEntries(revoked);
  const extensions = sequence(
    extension(oids.authorityKeyIdentifier, sequence(der(0x80, contents.authorityKeyId))),
    extension(oids.crlNumber, integerOf(contents.number)),
  );
  return sequence(
    version2,
    contents.algorithm,
    contents.issuerName,
    time(contents.thisUpdateMs),
    time(contents.nextUpdateMs),
    // Absent when there are none (section 5.1.2.6).
    ...(entries.length === 0 ? [] : [header(tags.sequence, entries.length), entries]),
    der(context(0), extensions),
  );
}

/** The finished CRL in DER. */
export function assembleCrl(tbs: Buffer, algorithm: Buffer, signature: Buffer): Buffer {
  return sequence(tbs, algorithm, bitString(signature));
}

/** All entries in one buffer that doubles as it fills. */
function writeEntries(revoked: Iterable<RevokedEntry>): Buffer {
  let bytes = Buffer.allocUnsafe(4096);
  let at = 0;
  // Many are revoked in the same second: the time of the last is kept.
  let second = Number.NaN;
  let date: Buffer = Buffer.alloc(0);
  for (const { serial, revokedMs, reason } of revoked) {
    if (bytes.length - at < entryLimit) bytes = Buffer.concat([bytes], bytes.length * 2);
    if (second !== Math.floor(revokedMs / 1000)) {
      second = Math.floor(revokedMs / 1000);
      date = time(revokedMs);
    }
    // Every part is shorter than 128 octets: its length is one octet.
    const start = at;
    at = writeSerial(bytes, start + 2, serial);
    at += date.copy(bytes, at);
    const code = reasonCodeOf(reason);
    if (code !== null) at += reasonExtensions[code]!.copy(bytes, at);
    bytes[start] = tags.sequence;
    bytes[start + 1] = at - start - 2;
  }
  return bytes.subarray(0, at);
}

function writeSerial(bytes: Buffer, at: number, serial: string): number {
  // RFC 5280, section 4.1.2.2. One that is cut short would revoke another certificate.
  if (serial.length > 40)
    throw new Fault('internal', `The serial number ${serial} is longer than 20 octets.`);
  const padded = serial.charCodeAt(0) >= firstHighDigit;
  if (padded) bytes[at + 2] = 0;
  const begins = padded ? at + 3 : at + 2;
  const ends = begins + bytes.write(serial, begins, 'hex');
  bytes[at] = tags.integer;
  bytes[at + 1] = ends - at - 2;
  return ends;
}

/** The first hex digit of a number whose first bit would be read as its sign. */
const firstHighDigit = '8'.charCodeAt(0);

/** crlEntryExtensions with a reason code, by code. */
const reasonExtensions: readonly Buffer[] = Array.from({ length: 11 }, (_, code) =>
  sequence(extension(oid('2.5.29.21'), enumerated(code))),
);
