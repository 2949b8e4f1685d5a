/** EST over working fakes: what an answer is in HTTP, whom a failure is counted against, what waits for approval. */
import { beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { EstAnswer, EstAsk } from '#common/contract/enrollment.ts';
import { Fault, type FaultKind } from '#common/fault.ts';
import { parseFleetId } from '#common/identity.ts';
import { openLog } from '#common/log.ts';
import { openMetrics } from '#common/metrics.ts';
import { RateLimits } from '../../../../registry/api/rate-limits.ts';
import type { EnrollmentRequest } from '../../../../registry/authority/enroll.ts';
import { defaultProfile, readProfile } from '../../../../registry/authority/profile.ts';
import { Est, type EstParts } from '../../../../registry/est/est.ts';

const now = 1_000_000;
const clock = { ...systemClock, now: () => now };
const csr = Buffer.from('3003020100', 'hex').toString('base64');

let refuse: Fault | null;
let asked: EnrollmentRequest[];
let est: Est;
let metrics: ReturnType<typeof openMetrics>;

const openEst = (change: Partial<EstParts> = {}) =>
  new Est({
    enrollment: {
      enroll: async (request) => {
        asked.push(request);
        throw refuse ?? new Fault('internal', 'no fake certificates');
      },
      rightOf: async () => {
        throw refuse ?? new Fault('internal', 'no fake rights');
      },
    },
    renewal: { renew: () => Promise.reject(new Fault('internal', 'no fake renewals')) },
    directory: { find: () => undefined },
    fleets: {
      terms: async (id) => {
        if (id !== 'plant') throw new Fault('not-found', `There is no fleet ${id}.`);
        return { profile: 'device', approval: 'automatic' };
      },
    },
    profiles: { find: async () => readProfile(defaultProfile(3_600_000, 0)) },
    caCertificates: () => [],
    limits: new RateLimits({ enrollRate: 2, failedAuthRate: 2 }),
    metrics,
    clock,
    log: openLog('silent', 'test'),
    settings: { maxCsrSize: 1024, serverKeygen: false },
    ...change,
  });

beforeEach(() => {
  refuse = new Fault('token-invalid', 'This enrollment token is not known here.');
  asked = [];
  metrics = openMetrics();
  est = openEst();
});

const ask = (change: Partial<EstAsk> = {}): Promise<EstAnswer> =>
  est.answer({
    operation: 'simpleenroll',
    label: null,
    authorization: 'Bearer fge_secret',
    chain: [],
    contentType: 'application/pkcs10',
    body: csr,
    address: '192.0.2.1',
    ...change,
  });

const codeOf = ({ body }: EstAnswer): FaultKind => JSON.parse(body).code;

describe('an enrollment', () => {
  test('takes the device from the CSR and the fleet from the label', async () => {
    await ask({ label: 'plant' });
    expect(asked).toEqual([
      {
        credential: { secret: 'fge_secret' },
        fleet: 'plant',
        device: null,
        csr: Buffer.from(csr, 'base64'),
        attributes: {},
      },
    ]);
  });

  test('goes by the secret before the certificate, and by the certificate without one', async () => {
    const chain = [Buffer.from('leaf').toString('base64')];
    await ask({ chain });
    await ask({ chain, authorization: null });
    expect(asked.map(({ credential }) => credential)).toEqual([
      { secret: 'fge_secret' },
      { chain: [Buffer.from('leaf')] },
    ]);
  });

  test('without either is challenged', async () => {
    const answer = await ask({ authorization: null });
    expect(answer).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': expect.stringMatching(/^Basic /) },
    });
    expect(codeOf(answer)).toBe('unauthenticated');
    expect(asked).toEqual([]);
  });

  test('that waits for approval is 202 with a sentence and Retry-After (RFC 7030, section 4.2.3)', async () => {
    refuse = new Fault('approval-pending', 'An operator has to approve it.', { retryAfterMs: 1500 });
    expect(await ask()).toEqual({
      status: 202,
      headers: { 'content-type': 'text/plain; charset=utf-8', 'retry-after': '2' },
      body: 'An operator has to approve it.\n',
    });
    refuse = new Fault('approval-pending', 'An operator has to approve it.');
    expect((await ask()).headers['retry-after']).toBe('60');
  });

  test('that failed inside says no more than that', async () => {
    refuse = Fault.of(new Error('the secret reason'));
    const answer = await ask();
    expect(answer.status).toBe(500);
    expect(answer.body).not.toMatch(/secret/);
  });

  test('is counted with its reason', async () => {
    await ask();
    const { values } = await metrics.enrollmentsTotal.get();
    const counted = values.filter(({ value }) => value > 0).map(({ labels }) => labels);
    expect(counted).toEqual([{ result: 'refused', reason: 'token-invalid' }]);
  });
});

describe('limits', () => {
  test('wrong tokens are counted against the address, and nobody else', async () => {
    expect([codeOf(await ask()), codeOf(await ask())]).toEqual(['token-invalid', 'token-invalid']);
    const third = await ask();
    expect([third.status, codeOf(third)]).toEqual([429, 'rate-limited']);
    expect(Number(third.headers['retry-after'])).toBeGreaterThan(0);
    expect(codeOf(await ask({ operation: 'csrattrs' }))).toBe('rate-limited');
    expect(codeOf(await ask({ address: '192.0.2.2' }))).toBe('token-invalid');
  });

  test('certificates that are not known are counted like wrong tokens', async () => {
    const reenroll = () => ask({ operation: 'simplereenroll', chain: ['bGVhZg=='] });
    const codes = [await reenroll(), await reenroll(), await reenroll()].map(codeOf);
    expect(codes).toEqual(['unknown-certificate', 'unknown-certificate', 'rate-limited']);
  });

  test('enrollments of an address are limited, of right tokens too', async () => {
    refuse = new Fault('csr-subject', 'another device');
    const codes: string[] = [];
    for (let each = 0; each < 5; each++) codes.push(codeOf(await ask()));
    expect(codes).toEqual([...Array(4).fill('csr-subject'), 'rate-limited']);
  });
});

describe('what needs no credential', () => {
  test('csrattrs is for the fleet of the label, and for anybody without one', async () => {
    for (const label of ['plant', null]) {
      const answer = await ask({ operation: 'csrattrs', label, authorization: null });
      expect(answer).toMatchObject({ status: 200, headers: { 'content-type': 'application/csrattrs' } });
    }
  });

  test.each(['cacerts', 'csrattrs'] as const)(
    '%s of a fleet that does not exist is 404',
    async (operation) => {
      expect((await ask({ operation, label: 'nowhere', authorization: null })).status).toBe(404);
    },
  );
});

test('a certificate that is not shown cannot be renewed', async () => {
  const answer = await ask({ operation: 'simplereenroll' });
  expect([answer.status, codeOf(answer)]).toEqual([401, 'no-certificate']);
});

test('keys are made only where the settings say so, only for a right, and never to be kept', async () => {
  const closed = await ask({ operation: 'serverkeygen' });
  expect([closed.status, codeOf(closed)]).toEqual([403, 'forbidden']);
  expect(closed.body).toMatch(/registry\.serverKeygen/);
  est = openEst({ settings: { maxCsrSize: 1024, serverKeygen: true } });
  expect(codeOf(await ask({ operation: 'serverkeygen' }))).toBe('token-invalid');
  const fleet = parseFleetId('plant');
  const right = { fleet, device: null, source: 'token:t', actor: 'token:t', spend: async () => {} };
  est = openEst({
    settings: { maxCsrSize: 1024, serverKeygen: true },
    enrollment: { enroll: () => Promise.reject(new Fault('internal', 'never')), rightOf: async () => right },
    fleets: { terms: async () => ({ profile: 'device', approval: 'manual' }) },
  });
  const waiting = await ask({ operation: 'serverkeygen' });
  expect([waiting.status, codeOf(waiting)]).toEqual([403, 'forbidden']);
  expect(waiting.body).toMatch(/approval/);
});
