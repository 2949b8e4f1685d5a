/** Reads a CRL that an issuer of this house has signed: what was kept on disk, and what is about to be published. */
import { type KeyObject, verify } from 'node:crypto';
import { parseTimestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { DerReader, malformed } from './der-reader.ts';
import { context, oid, tags } from './der-writer.ts';
import type { IssuerIdentity } from './issuer-identity.ts';
import type { SignatureAlgorithm } from './signer.ts';

export interface PublishedCrl {
  readonly der: Buffer;
  readonly number: bigint;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
}

export interface CrlIssuer {
  readonly identity: IssuerIdentity;
  readonly publicKey: KeyObject;
  readonly algorithm: SignatureAlgorithm;
}

const crlNumber = oid('2.5.29.20');

/** Faults `malformed` for what is cut short, of another issuer, without a number, or not signed by this issuer. */
export async function readCrl(der: Buffer, issuer: CrlIssuer): Promise<PublishedCrl> {
  const whole = new DerReader(der);
  const crl = whole.enter(tags.sequence);
  whole.finish();
  const tbs = crl.takeWhole(tags.sequence);
  const algorithm = crl.takeWhole(tags.sequence);
  const signature = crl.take(tags.bitString).subarray(1);
  crl.finish();

  const fields = new DerReader(tbs).enter(tags.sequence);
  fields.take(tags.integer);
  if (!fields.takeWhole(tags.sequence).equals(algorithm) || !algorithm.equals(issuer.algorithm.der))
    throw malformed('it is signed in another way than its issuer signs');
  if (!fields.takeWhole(tags.sequence).equals(issuer.identity.name))
    throw malformed('it is of another issuer');
  const thisUpdateMs = readTime(fields);
  const nextUpdateMs = readTime(fields);
  if (fields.tag === tags.sequence) fields.skip();
  const number = readNumber(fields.enter(context(0)).enter(tags.sequence));
  if (!(await isSignedBy(issuer, tbs, signature))) throw malformed('its signature does not verify');
  return { der, number, thisUpdateMs, nextUpdateMs };
}

function readNumber(extensions: DerReader): bigint {
  while (!extensions.atEnd) {
    const extension = extensions.enter(tags.sequence);
    if (!extension.takeWhole(tags.oid).equals(crlNumber)) continue;
    const octets = new DerReader(extension.take(tags.octetString)).take(tags.integer);
    return BigInt(`0x${octets.toString('hex')}`);
  }
  throw malformed('it has no number');
}

function readTime(fields: DerReader): number {
  const short = fields.tag === tags.utcTime;
  const text = fields.take(short ? tags.utcTime : tags.generalizedTime).toString('latin1');
  const digits = short ? `20${text}` : text;
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits) ?? [];
  const ms = parseTimestamp(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(ms)) throw malformed('a time is none');
  return ms;
}

/** In the thread pool: megabytes are hashed. */
function isSignedBy({ algorithm, publicKey }: CrlIssuer, tbs: Buffer, signature: Buffer): Promise<boolean> {
  return new Promise((resolve, reject) => {
    verify(algorithm.digest, tbs, publicKey, signature, (error, good) =>
      error
        ? reject(new Fault('malformed', 'A signature cannot be verified.', { cause: error }))
        : resolve(good),
    );
  });
}
