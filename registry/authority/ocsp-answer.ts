/**
 * An OCSP answer (RFC 6960, section 4.2) about one certificate: read strictly, signed by its issuer or by a delegate of
 * the issuer, about this certificate and about now. Anything else is no answer.
 */
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import { readTime } from '#common/x509/certificate-time.ts';
import {
  constructed,
  type Der,
  Fields,
  oidOf,
  primitive,
  readDer,
  tags,
  wholeOctets,
} from '#common/x509/der.ts';
import { isSameName } from '#common/x509/name.ts';
import { purposeOids } from '#common/x509/object-identifier.ts';
import { judgeKey } from '#common/x509/public-key.ts';
import { fitsKey, isSignedBy, readSignatureAlgorithm } from '#common/x509/signature-algorithm.ts';
import { type CrlReason, crlReasons } from './foreign-crl.ts';

export type OcspStatus =
  | { readonly state: 'good'; readonly untilMs: number }
  | { readonly state: 'revoked'; readonly reason: CrlReason }
  /** `why` is the end of a sentence. */
  | { readonly state: 'unknown'; readonly why: string };

const unknown = (why: string): OcspStatus => ({ state: 'unknown', why });

const enumerated = 0x0a;
const basicResponse = '1.3.6.1.5.5.7.48.1.1';
const refusals: Readonly<Record<number, string>> = {
  1: 'the responder calls the request malformed',
  2: 'the responder has an internal error',
  3: 'the responder asks to try later',
  5: 'the responder wants signed requests',
  6: 'the responder does not answer us',
};
const clockSkewMs = 5 * 60_000;
/** Without nextUpdate newer words can be had at any time (section 4.2.2.1): this one is good so long. */
const openEndedMs = 5 * 60_000;

/** Never throws: what cannot be read is no answer. `certId` is DER, as it was asked. */
export function readOcspAnswer(
  bytes: Buffer,
  certId: Buffer,
  issuer: Certificate,
  nowMs: number,
): OcspStatus {
  try {
    const outer = new Fields(readDer(bytes), 'an answer');
    const code = outer.take(enumerated, 'status').body[0] ?? 2;
    if (code !== 0) return unknown(refusals[code] ?? `the responder answered ${code}`);
    const wrapped = new Fields(outer.take(constructed(0), 'response'), 'a response', constructed(0));
    const typed = new Fields(wrapped.take(tags.sequence, 'response'), 'a response');
    if (oidOf(typed.take(tags.oid, 'type')) !== basicResponse)
      return unknown('the answer is of an unknown type');
    return judge(readDer(typed.take(tags.octetString, 'response').body), certId, issuer, nowMs);
  } catch {
    return unknown('the answer cannot be read');
  }
}

function judge(basic: Der, certId: Buffer, issuer: Certificate, nowMs: number): OcspStatus {
  const fields = new Fields(basic, 'a basic response');
  const tbs = fields.take(tags.sequence, 'data');
  const algorithm = readSignatureAlgorithm(fields.take(tags.sequence, 'algorithm'));
  const signature = wholeOctets(fields.take(tags.bitString, 'signature'), 'the signature');
  const certificates = fields.takeIf(constructed(0))?.items[0]?.items ?? [];
  fields.end();
  const signed = { algorithm, data: tbs.der, signature };
  const isBy = (ca: Certificate) => fitsKey(algorithm, ca.key) && isSignedBy(signed, ca.publicKey());
  const isSigned =
    isBy(issuer) ||
    certificates.slice(0, 4).some(({ der }) => {
      const delegate = readCertificate(der);
      return isDelegate(delegate, issuer, nowMs) && isBy(delegate);
    });
  return isSigned
    ? statusIn(tbs, certId, nowMs)
    : unknown('the answer is not signed by the issuer or a delegate');
}

/** Section 4.2.2.2: issued by the CA itself, for this purpose in so many words. */
function isDelegate(delegate: Certificate, issuer: Certificate, nowMs: number): boolean {
  const {
    signatureAlgorithm: algorithm,
    tbs: data,
    signature,
    extensions,
    notBeforeMs,
    notAfterMs,
  } = delegate;
  return (
    isSameName(delegate.issuer, issuer.subject) &&
    extensions.extKeyUsage?.purposes.includes(purposeOids.ocspSigning) === true &&
    notBeforeMs <= nowMs &&
    nowMs <= notAfterMs &&
    judgeKey(delegate.key) === null &&
    fitsKey(algorithm, issuer.key) &&
    isSignedBy({ algorithm, data, signature }, issuer.publicKey())
  );
}

function statusIn(tbs: Der, certId: Buffer, nowMs: number): OcspStatus {
  const fields = new Fields(tbs, 'response data');
  fields.takeIf(constructed(0));
  fields.any('responder');
  fields.take(tags.generalizedTime, 'time');
  const responses = fields.take(tags.sequence, 'responses').items;
  const asked = readDer(certId);
  const mine = responses.find(({ items }) => items[0] && isSameId(items[0], asked));
  if (!mine) return unknown('the answer is about another certificate');
  const single = new Fields(mine, 'a single response');
  single.any('certificate');
  const status = single.any('status');
  const thisUpdateMs = timeOf(single.take(tags.generalizedTime, 'thisUpdate'));
  const next = single.takeIf(constructed(0))?.items[0];
  const nextUpdateMs = next ? timeOf(next) : nowMs + openEndedMs;
  if (thisUpdateMs > nowMs + clockSkewMs) return unknown('the answer is of the future');
  if (nextUpdateMs < nowMs) return unknown('the answer is out of date');
  if (status.tag === primitive(0)) return { state: 'good', untilMs: nextUpdateMs };
  if (status.tag === constructed(1)) {
    const reason = status.items[1]?.items[0]?.body[0] ?? 0;
    return { state: 'revoked', reason: crlReasons[reason] ?? 'unspecified' };
  }
  return unknown('the responder does not know the certificate');
}

/** Hashes and serial number; NULL parameters of the hash are written by some and not by others. */
const isSameId = (one: Der, other: Der): boolean =>
  one.items.length === other.items.length &&
  one.items.slice(1).every(({ der }, at) => der.equals(other.items[at + 1]!.der));

/** RFC 6960 has GeneralizedTime everywhere, also before 2050, where certificates have UTCTime: read without the century. */
function timeOf({ tag, body }: Der): number {
  const text = body.toString('latin1');
  if (tag !== tags.generalizedTime || !/^20[0-4]\d{11}Z$/.test(text)) return readTime({ tag, body } as Der);
  return readTime({ tag: tags.utcTime, body: body.subarray(2) } as Der);
}
