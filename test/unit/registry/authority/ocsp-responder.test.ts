/** The OCSP responder against a directory of statuses that changes: each status, each error, nonces, and what is kept. */
import { randomBytes, X509Certificate } from 'node:crypto';
import { OCSPResponseStatus } from '@peculiar/asn1-ocsp';
import { afterAll, expect, test } from 'vitest';
import { silentLog as log } from '#common/log.ts';
import { OcspResponder } from '../../../../registry/authority/ocsp-responder.ts';
import { OcspDelegate } from '../../../../registry/ca/ocsp-delegate.ts';
import type { CertStatus } from '../../../../registry/ca/ocsp-response.ts';
import { ocspCode, ocspRequest, readAnswer } from '../../../harness/ocsp-client.ts';
import { StillClock } from '../../../harness/still-clock.ts';
import { makeTestIssuer } from '../../../harness/test-issuer.ts';

const startMs = Math.ceil(Date.now() / 1000) * 1000;
const clock = new StillClock(startMs);
const hour = 3_600_000;
const issuer = await makeTestIssuer('P-256', 'One');
const other = await makeTestIssuer('P-384', 'Other');
const foreign = await makeTestIssuer('P-256', 'Foreign');

const delegates = await Promise.all(
  [issuer, other].map(({ identity, signer, notAfterMs }) =>
    OcspDelegate.open({
      issuer: identity,
      issuerNotAfterMs: notAfterMs,
      signer,
      record: async () => {},
      lifetimeMs: 20 * 24 * hour,
      clock,
      log,
    }),
  ),
);
afterAll(() => {
  for (const delegate of delegates) delegate[Symbol.dispose]();
});

/** A house with one good and one revoked certificate, and counters of what it is asked. */
function open() {
  const statuses = new Map<string, CertStatus>([
    ['one/4a01', { kind: 'good' }],
    ['one/4a02', { kind: 'revoked', atMs: startMs - hour, reason: 'keyCompromise' }],
    ['one/4a03', { kind: 'revoked', atMs: startMs - hour, reason: null }],
    ['other/4a01', { kind: 'revoked', atMs: startMs - hour, reason: null }],
  ]);
  const house = { statuses, commits: 0, asked: 0, signer: delegates[0]!.current };
  const responder = new OcspResponder({
    issuers: () => [
      { name: 'one', identity: issuer.identity, signer: house.signer },
      { name: 'other', identity: other.identity, signer: delegates[1]!.current },
    ],
    statusOf(name, serial) {
      house.asked += 1;
      if (serial === 'bad0') throw new Error('the disk is gone');
      return statuses.get(`${name}/${serial}`) ?? { kind: 'unknown' };
    },
    commits: () => house.commits,
    lifetimeMs: hour,
    clock,
    log,
  });
  return { house, responder };
}

test.each(['sha1', 'sha256'] as const)('good, revoked with time and reason, and unknown, by %s', (by) => {
  const { responder } = open();
  const ask = (serial: string) =>
    readAnswer(responder.answer(ocspRequest(issuer.identity, [serial], { by })).der);
  expect(ask('4a01')).toMatchObject({ statuses: ['good'], verified: true, revokedMs: null, nonce: null });
  expect(ask('4a02')).toMatchObject({
    statuses: ['revoked'],
    verified: true,
    revokedMs: startMs - hour,
    reason: 1,
  });
  expect(ask('4a03')).toMatchObject({ statuses: ['revoked'], verified: true, reason: null });
  expect(ask('4aff')).toMatchObject({ statuses: ['unknown'], verified: true });
  expect(ask('4a01')).toMatchObject({ thisUpdateMs: startMs, nextUpdateMs: startMs + hour });
});

test('a serial number that nobody could issue is unknown', () => {
  const { responder } = open();
  for (const serial of ['ff', '7f'.repeat(21)])
    expect(readAnswer(responder.answer(ocspRequest(issuer.identity, [serial])).der).statuses).toEqual([
      'unknown',
    ]);
});

test('an issuer that is not ours, and two issuers at once, are not answered for', () => {
  const { responder } = open();
  expect(ocspCode(responder.answer(ocspRequest(foreign.identity, ['4a01'])).der)).toBe(
    OCSPResponseStatus.unauthorized,
  );
  const wrongKey = { ...issuer.identity, publicKeyBits: foreign.identity.publicKeyBits };
  const wrongName = { ...issuer.identity, name: foreign.identity.name };
  for (const wrong of [wrongKey, wrongName])
    expect(ocspCode(responder.answer(ocspRequest(wrong, ['4a01'])).der)).toBe(
      OCSPResponseStatus.unauthorized,
    );
});

test('each issuer is answered for by its own delegate', () => {
  const { responder } = open();
  const answer = readAnswer(responder.answer(ocspRequest(other.identity, ['4a01'])).der);
  expect(answer).toMatchObject({ statuses: ['revoked'], verified: true });
  expect(answer.signer.raw).toEqual(delegates[1]!.current!.certificate);
});

test('several certificates are answered at once, in their order', () => {
  const { responder } = open();
  const der = responder.answer(ocspRequest(issuer.identity, ['4a02', '4a01', '4aff'])).der;
  expect(readAnswer(der)).toMatchObject({ statuses: ['revoked', 'good', 'unknown'], verified: true });
});

test('a nonce comes back when one was sent, and such an answer is for nobody else', () => {
  const { responder } = open();
  for (const length of [1, 16, 32]) {
    const nonce = randomBytes(length);
    const answer = responder.answer(ocspRequest(issuer.identity, ['4a01'], { nonce }));
    expect(answer.keep).toBeNull();
    expect(readAnswer(answer.der)).toMatchObject({ statuses: ['good'], nonce, verified: true });
  }
  for (const length of [0, 33, 1000]) {
    const der = responder.answer(ocspRequest(issuer.identity, ['4a01'], { nonce: Buffer.alloc(length) })).der;
    expect(ocspCode(der)).toBe(OCSPResponseStatus.malformedRequest);
  }
});

test('what is no request is malformed; what goes wrong inside is said to, and not kept', () => {
  const { responder } = open();
  for (const request of [
    Buffer.alloc(0),
    randomBytes(100),
    ocspRequest(issuer.identity, Array(1000).fill('4a01')),
  ])
    expect(ocspCode(responder.answer(request).der)).toBe(OCSPResponseStatus.malformedRequest);
  const answer = responder.answer(ocspRequest(issuer.identity, ['00bad0']));
  expect(ocspCode(answer.der)).toBe(OCSPResponseStatus.internalError);
  expect(answer.keep).toBeNull();
});

test('without a signer the answer is to try later', () => {
  const { house, responder } = open();
  house.signer = null;
  expect(ocspCode(responder.answer(ocspRequest(issuer.identity, ['4a01'])).der)).toBe(
    OCSPResponseStatus.tryLater,
  );
});

test('an answer is signed once, and again when half its life is over', async () => {
  const { house, responder } = open();
  const ask = () => responder.answer(ocspRequest(issuer.identity, ['4a01'])).der;
  const first = ask();
  await clock.move(hour / 2 - 1);
  expect(ask()).toBe(first);
  expect(house.asked).toBe(1);
  await clock.move(1);
  const second = ask();
  expect(second).not.toBe(first);
  expect(readAnswer(second).thisUpdateMs).toBe(startMs + hour / 2);
  // The wall clock set back: an answer of the future is no answer.
  clock.set(startMs);
  expect(readAnswer(ask()).thisUpdateMs).toBe(startMs);
});

test('a change of the state is in the very next answer, other changes cost one look', () => {
  const { house, responder } = open();
  const ask = () => responder.answer(ocspRequest(issuer.identity, ['4a01'])).der;
  const first = ask();
  house.commits += 1;
  expect(ask()).toBe(first);
  expect(ask()).toBe(first);
  expect(house.asked).toBe(2);
  house.statuses.set('one/4a01', { kind: 'revoked', atMs: startMs, reason: 'certificateHold' });
  house.commits += 1;
  expect(readAnswer(ask())).toMatchObject({ statuses: ['revoked'], reason: 6 });
  house.statuses.set('one/4a01', { kind: 'good' });
  house.commits += 1;
  expect(readAnswer(ask())).toMatchObject({ statuses: ['good'] });
});

test('serial numbers that were never issued are not kept', () => {
  const { house, responder } = open();
  for (let ask = 0; ask < 3; ask++) responder.answer(ocspRequest(issuer.identity, ['4aff']));
  expect(house.asked).toBe(3);
});

test('about a certificate in hand the answer is the one that a client would get, and nothing goes wrong about others', async () => {
  const { house, responder } = open();
  const leaf = new X509Certificate(await issuer.leaf('4a02')).raw;
  expect(readAnswer(responder.about(leaf)!.der)).toMatchObject({ statuses: ['revoked'], verified: true });
  expect(responder.about(leaf)!.der).toBe(responder.answer(ocspRequest(issuer.identity, ['4a02'])).der);
  expect(responder.about(new X509Certificate(await foreign.leaf('4a02')).raw)).toBeNull();
  expect(responder.about(randomBytes(50))).toBeNull();
  house.signer = null;
  expect(responder.about(new X509Certificate(await issuer.leaf('4a01')).raw)).toBeNull();
});

test('an answer ends with the certificate that signed it', () => {
  const { house, responder } = open();
  const notAfterMs = clock.now() + 60_000;
  house.signer = { ...delegates[0]!.current!, notAfterMs };
  expect(readAnswer(responder.answer(ocspRequest(issuer.identity, ['4a01'])).der).nextUpdateMs).toBe(
    notAfterMs,
  );
});
