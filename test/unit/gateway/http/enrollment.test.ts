/** EST at the device door: what is passed on, and the numbers that bound it. */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { beforeEach, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { AskRegistry, EstAsk } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { openMetrics } from '#common/metrics.ts';
import { Enrollment } from '../../../../gateway/http/enrollment.ts';
import { eventually } from '../../../harness/eventually.ts';

let elapsed: number;
let metrics: ReturnType<typeof openMetrics>;
/** What the registry was asked, and how each is let go. */
let asked: { kind: string; ask: unknown; answer: (value: unknown) => void; refuse: (fault: Fault) => void }[];
let enrollment: Enrollment;

const line: AskRegistry = (kind, ask) =>
  new Promise((resolve, refuse) => {
    asked.push({ kind, ask, answer: resolve as (value: unknown) => void, refuse });
  });

beforeEach(() => {
  elapsed = 0;
  asked = [];
  metrics = openMetrics();
  enrollment = new Enrollment({
    ask: line,
    settings: { maxEnrollBody: 100, maxEnrollUnderway: 2 },
    ratePerAddress: 2,
    metrics,
    clock: { ...systemClock, elapsed: () => elapsed },
  });
});

function request(
  change: { url?: string; method?: string; body?: string; address?: string } = {},
): IncomingMessage {
  const {
    url = '/.well-known/est/simpleenroll',
    method = 'POST',
    body = 'Y3Ny',
    address = '192.0.2.1',
  } = change;
  const socket = { remoteAddress: address, getPeerX509Certificate: () => undefined };
  const headers = { 'content-type': 'application/pkcs10', authorization: 'Bearer fge_x' };
  return Object.assign(Readable.from([Buffer.from(body)]), {
    url,
    method,
    headers,
    socket,
  }) as unknown as IncomingMessage;
}

const waiting = (count: number) => eventually(() => expect(asked.length).toBe(count));
const refused = async () => {
  const { values } = await metrics.enrollmentsTotal.get();
  return values.filter(({ value }) => value > 0).map(({ labels, value }) => [labels.reason, value]);
};

const est = (asked: ReturnType<typeof request>) => enrollment.est(asked, asked.socket.remoteAddress ?? '');
const renew = (asked: ReturnType<typeof request>) =>
  enrollment.renew(asked, asked.socket.remoteAddress ?? '');

test('a request is passed on as it came, with the address', async () => {
  const answer = est(request({ url: '/.well-known/est/plant/simpleenroll?x=1' }));
  await waiting(1);
  expect(asked[0]).toMatchObject({
    kind: 'est',
    ask: {
      operation: 'simpleenroll',
      label: 'plant',
      authorization: 'Bearer fge_x',
      chain: [],
      contentType: 'application/pkcs10',
      body: 'Y3Ny',
      address: '192.0.2.1',
    } satisfies EstAsk,
  });
  asked[0]!.answer({ status: 200, headers: {}, body: 'certificate' });
  expect(await answer).toMatchObject({ body: 'certificate' });
});

test('an address has so many requests a second, in bursts of twice that; IPv6 counts by /64', async () => {
  for (let each = 1; each <= 4; each++) {
    const url = '/.well-known/est/cacerts';
    const answer = est(request({ method: 'GET', url, address: `2001:db8::${each}` }));
    await waiting(each);
    asked.at(-1)!.answer({});
    await answer;
  }
  await expect(est(request({ address: '2001:db8::5' }))).rejects.toMatchObject({
    kind: 'rate-limited',
    retryAfterMs: 500,
  });
  expect(await refused()).toEqual([['rate-limited', 1]]);
  elapsed = 500;
  const later = est(request({ address: '2001:db8::5' }));
  await waiting(asked.length + 1);
  asked.at(-1)!.answer({});
  await later;
});

test('so many wait for the registry at once, the next is sent away for a while', async () => {
  const [first, second] = [est(request()), est(request({ address: '192.0.2.2' }))];
  await waiting(2);
  await expect(est(request({ address: '192.0.2.3' }))).rejects.toMatchObject({
    kind: 'unavailable',
    retryAfterMs: 2000,
  });
  asked[0]!.answer({});
  asked[1]!.refuse(new Fault('unavailable', 'The registry cannot be reached.'));
  await first;
  await expect(second).rejects.toMatchObject({ kind: 'unavailable' });
  const third = est(request({ address: '192.0.2.3' }));
  await waiting(3);
  asked[2]!.answer({});
  await third;
});

test('a body has so many bytes', async () => {
  await expect(est(request({ body: 'x'.repeat(101) }))).rejects.toMatchObject({
    kind: 'too-large',
  });
  const exact = est(request({ body: 'x'.repeat(100) }));
  await waiting(1);
  asked[0]!.answer({});
  await exact;
});

test.each([
  ['no JSON', 'csr', 'malformed'],
  ['no csr', '{}', 'malformed'],
  ['null', 'null', 'malformed'],
  ['no PEM', '{"csr":"x"}', 'csr-malformed'],
])('a renewal with %s is refused here', async (_what, body, kind) => {
  await expect(renew(request({ body }))).rejects.toMatchObject({ kind });
  const { values } = await metrics.renewalsTotal.get();
  expect(values.filter(({ value }) => value > 0)).toMatchObject([{ labels: { reason: kind }, value: 1 }]);
  expect(asked).toEqual([]);
});

test('a renewal is passed on as DER', async () => {
  const pem = '-----BEGIN CERTIFICATE REQUEST-----\nY3Ny\n-----END CERTIFICATE REQUEST-----\n';
  const answer = renew(request({ body: JSON.stringify({ csr: pem }) }));
  await waiting(1);
  expect(asked[0]).toMatchObject({ kind: 'renew', ask: { chain: [], csr: 'Y3Ny' } });
  asked[0]!.answer({ deviceId: 'pump-1' });
  expect(await answer).toEqual({ deviceId: 'pump-1' });
});
