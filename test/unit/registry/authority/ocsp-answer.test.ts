/** OCSP answers of foreign responders: about this certificate, of its issuer or a delegate, and about now; else no answer. */
import { sign } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseTimestamp } from '#common/clock.ts';
import { readCertificate } from '#common/x509/certificate.ts';
import { readDer } from '#common/x509/der.ts';
import { readOcspAnswer } from '../../../../registry/authority/ocsp-answer.ts';
import { ocspRequest } from '../../../../registry/authority/ocsp-request.ts';
import { bits, context, octets, oid, sequence, text, tlv } from '../../../harness/der-writer.ts';
import {
  cn,
  extKeyUsage,
  type Forged,
  forgeCa,
  forgeLeaf,
  signings,
} from '../../../harness/forged-certificate.ts';

const ca = forgeCa({ subject: cn('Maker') });
const stranger = forgeCa({ subject: cn('Maker') });
const delegate = forgeLeaf(
  { subject: cn('Responder'), extensions: { extKeyUsage: extKeyUsage('1.3.6.1.5.5.7.3.9') } },
  ca,
);
const device = forgeLeaf({}, ca);
const issuer = readCertificate(ca.der);
const { request, certId } = ocspRequest(readCertificate(device.der), issuer);
const otherId = ocspRequest(readCertificate(forgeLeaf({}, ca).der), issuer).certId;
const nowMs = parseTimestamp('2026-06-01T12:00:00Z');
const at = (iso: string): Buffer => text(0x18, iso.replace(/[-:T]/g, ''));

const good = tlv(0x80);
const revoked = (reason?: number): Buffer =>
  context(
    1,
    at('2026-05-01T00:00:00Z'),
    ...(reason === undefined ? [] : [context(0, tlv(0x0a, Buffer.from([reason])))]),
  );

interface AnswerPlan {
  status?: Buffer;
  id?: Buffer;
  from?: string;
  until?: string | null;
  signer?: Forged;
  certificates?: Forged[];
  code?: number;
}

function answer(plan: AnswerPlan = {}): Buffer {
  const { status = good, id = certId, from = '2026-06-01T11:00:00Z', until = '2026-06-02T00:00:00Z' } = plan;
  const { signer = ca, certificates = [], code = 0 } = plan;
  const single = sequence(id, status, at(from), ...(until === null ? [] : [context(0, at(until))]));
  const tbs = sequence(context(1, cn('whoever')), at('2026-06-01T11:00:00Z'), sequence(single));
  const signature = bits(sign('sha256', tbs, signer.keys.privateKey));
  const chain = certificates.length > 0 ? [context(0, sequence(...certificates.map(({ der }) => der)))] : [];
  const basic = sequence(tbs, signings['ecdsa-sha256'].identifier, signature, ...chain);
  const wrapped = context(0, sequence(oid('1.3.6.1.5.5.7.48.1.1'), octets(basic)));
  return sequence(tlv(0x0a, Buffer.from([code])), ...(code === 0 ? [wrapped] : []));
}

const read = (bytes: Buffer) => readOcspAnswer(bytes, certId, issuer, nowMs);

test('the request names issuer and serial number, once', () => {
  const id = readDer(request).items[0]!.items[0]!.items[0]!.items[0]!;
  expect(id.der.equals(certId)).toBe(true);
  expect(id.items.map(({ tag }) => tag)).toEqual([0x30, 0x04, 0x04, 0x02]);
});

test('good until nextUpdate, by the issuer and by its delegate', () => {
  const untilMs = parseTimestamp('2026-06-02T00:00:00Z');
  expect(read(answer())).toEqual({ state: 'good', untilMs });
  expect(read(answer({ signer: delegate, certificates: [delegate] }))).toEqual({ state: 'good', untilMs });
});

test('without nextUpdate it is good for minutes, since newer words can be had', () => {
  expect(read(answer({ until: null }))).toEqual({ state: 'good', untilMs: nowMs + 300_000 });
});

test.each([
  [undefined, 'unspecified'],
  [1, 'keyCompromise'],
  [6, 'certificateHold'],
  [99, 'unspecified'],
])('revoked, with reason %s', (reason, word) => {
  expect(read(answer({ status: revoked(reason) }))).toEqual({ state: 'revoked', reason: word });
});

const late = forgeLeaf(
  {
    subject: cn('Late'),
    until: '2026-05-01T00:00:00Z',
    extensions: { extKeyUsage: extKeyUsage('1.3.6.1.5.5.7.3.9') },
  },
  ca,
);
const foreign = forgeLeaf(
  { subject: cn('Responder'), extensions: { extKeyUsage: extKeyUsage('1.3.6.1.5.5.7.3.9') } },
  stranger,
);

test.each<[string, AnswerPlan]>([
  ['the responder does not know it', { status: tlv(0x82) }],
  ['about another certificate', { id: otherId }],
  ['out of date', { until: '2026-06-01T11:59:59Z' }],
  ['of the future', { from: '2026-06-01T13:00:00Z' }],
  ['signed by somebody else', { signer: stranger }],
  ['signed by the device itself', { signer: device, certificates: [device] }],
  ['signed by a delegate of somebody else', { signer: foreign, certificates: [foreign] }],
  ['signed by a delegate that has expired', { signer: late, certificates: [late] }],
  ['signed by a delegate that is not shown', { signer: delegate }],
  ['the responder asks to try later', { code: 3 }],
  ['the responder does not answer us', { code: 6 }],
])('%s: unknown', (_what, plan) => {
  expect(read(answer(plan))).toMatchObject({ state: 'unknown' });
});

test('no mutation of an answer is good, and none is an error', () => {
  const whole = answer({ status: revoked(1) });
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (where, change) => {
      const bytes = Buffer.from(whole);
      bytes[where] = bytes[where]! ^ change;
      expect(read(bytes).state).not.toBe('good');
      expect(read(bytes.subarray(0, where)).state).toBe('unknown');
    }),
    { numRuns: 300 },
  );
});
