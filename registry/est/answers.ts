/** The answers of EST as HTTP has them (RFC 7030, sections 4.1.3, 4.2.3, 4.4.2 and 4.5.2). */
import { randomBytes } from 'node:crypto';
import type { EstAnswer } from '#common/contract/enrollment.ts';
import type { Fault } from '#common/fault.ts';
import { httpStatus, problemHeaders, problemOf } from '#common/http/problem.ts';
import { challenge } from './authorization.ts';
import { base64Lines } from './body.ts';
import { certsOnly } from './certs-only.ts';

/** RFC 8951 wants it ignored; clients of RFC 7030 refuse an answer without it. */
const encoding = { 'content-transfer-encoding': 'base64' };
const certsType = 'application/pkcs7-mime; smime-type=certs-only';
/** What an answer 202 says when nothing better is known: RFC 7030, section 4.2.3 demands a number. */
const pendingRetryMs = 60_000;

/** Certificates in DER. */
export const certificatesAnswer = (certificates: readonly Buffer[]): EstAnswer =>
  success(certsType, base64Lines(certsOnly(certificates)));

export const attributesAnswer = (der: Buffer): EstAnswer => success('application/csrattrs', base64Lines(der));

const success = (type: string, body: string): EstAnswer => ({
  status: 200,
  headers: { 'content-type': type, ...encoding },
  body,
});

/** A key as PKCS #8 and its certificate, both in DER, as two parts of one answer that nobody may keep. */
export function keyAnswer(privateKey: Buffer, certificate: Buffer): EstAnswer {
  const boundary = `est-${randomBytes(16).toString('hex')}`;
  const parts = [
    ['application/pkcs8', base64Lines(privateKey)],
    [certsType, base64Lines(certsOnly([certificate]))],
  ].map(
    ([type, body]) =>
      `--${boundary}\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: base64\r\n\r\n${body}\r\n`,
  );
  return {
    status: 200,
    headers: { 'content-type': `multipart/mixed; boundary=${boundary}`, 'cache-control': 'no-store' },
    body: `${parts.join('')}--${boundary}--\r\n`,
  };
}

/** A refusal as its problem document; an enrollment that waits for approval as 202 with a sentence. */
export function refusal(fault: Fault): EstAnswer {
  if (fault.kind === 'approval-pending') {
    const seconds = Math.ceil((fault.retryAfterMs ?? pendingRetryMs) / 1000);
    return {
      status: httpStatus[fault.kind],
      headers: { 'content-type': 'text/plain; charset=utf-8', 'retry-after': String(seconds) },
      body: `${fault.message}\n`,
    };
  }
  const problem = problemOf(fault);
  const { allow } = fault.fields;
  return {
    status: problem.status,
    headers: {
      ...problemHeaders(fault),
      ...(problem.status === 401 && { 'www-authenticate': challenge }),
      ...(typeof allow === 'string' && { allow }),
    },
    body: JSON.stringify(problem),
  };
}
