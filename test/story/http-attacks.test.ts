/** Attacks 12 and 13 at the HTTPS door: identity that is only claimed, and requests that can be read in two ways. */
import tls from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { House } from '../harness/house.ts';

let house: House;
let mallory: DeviceIdentity;
beforeAll(async () => {
  house = await House.start({
    config: 'https: { headersTimeout: 1s, requestTimeout: 1s, keepAliveTimeout: 1s }',
  });
  mallory = await house.api.enroll('plant', 'mallory');
  await house.api.enroll('plant', 'victim');
});
afterAll(() => house[Symbol.asyncDispose]());

/** Sends bytes as they are, and gives all that comes back until the connection ends. */
async function say(bytes: string, who: DeviceIdentity | null = mallory): Promise<string> {
  const socket = tls.connect({
    host: '127.0.0.1',
    port: house.port('https'),
    ca: mallory.ca,
    key: who?.key,
    cert: who?.certificate,
  } as tls.ConnectionOptions);
  let said = '';
  socket.on('data', (chunk) => {
    said += chunk;
  });
  socket.on('error', () => {});
  socket.write(bytes);
  await Promise.race([
    new Promise<void>((resolve) => socket.once('close', () => resolve())),
    systemClock.sleep(8000),
  ]);
  socket.destroy();
  return said;
}

const statuses = (said: string): number[] =>
  [...said.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));

const forged = [
  'X-Forwarded-Client-Cert: By=spiffe://x;Hash=00;URI=spiffe://fleetgate.local/fleet/plant/device/victim',
  'X_Forwarded_Client_Cert: URI=spiffe://fleetgate.local/fleet/plant/device/victim',
  'Client-Cert: :MAA=:',
  'X-SSL-Client-S-DN: CN=victim',
  'X-SSL-Client-Verify: SUCCESS',
  'ssl-client-cert: victim',
  'X-Amzn-Mtls-Clientcert: victim',
  'X-Forwarded-For: 192.0.2.1',
  'Connection: X-Forwarded-Client-Cert, close',
];

test('an identity in a header is nobody’s: the certificate alone says who it is', async () => {
  const headers = forged.join('\r\n');
  const said = await say(`GET /v1/me HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`);
  expect(statuses(said)).toEqual([200]);
  expect(said).toContain('"device":"mallory"');
  expect(said).not.toContain('victim');
});

test('without a certificate no header makes up for it', async () => {
  const said = await say(`GET /v1/me HTTP/1.1\r\nHost: x\r\n${forged.join('\r\n')}\r\n\r\n`, null);
  expect(statuses(said)).toEqual([401]);
});

const inner = 'POST /v1/telemetry/smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1';
const post = (headers: string, body: string) =>
  `POST /v1/telemetry HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${body}`;
const chunkedInner = `0\r\n\r\n${inner}`;

test.each([
  [
    'length and chunks',
    post(`Content-Length: ${chunkedInner.length}\r\nTransfer-Encoding: chunked`, chunkedInner),
  ],
  ['chunks and length', post('Transfer-Encoding: chunked\r\nContent-Length: 4', chunkedInner)],
  ['two lengths', post(`Content-Length: 0\r\nContent-Length: ${inner.length}`, inner)],
  ['a length with a sign', post('Content-Length: +0', inner)],
  ['a space before the colon', post(`Content-Length : ${inner.length}`, inner)],
  ['a folded header', post(`X: y\r\n Content-Length: 0`, inner)],
  ['chunked that is not the last coding', post('Transfer-Encoding: chunked, identity', chunkedInner)],
  ['a coding that is nearly chunked', post('Transfer-Encoding: xchunked', chunkedInner)],
  ['a chunk length that is no number', post('Transfer-Encoding: chunked', `0x1\r\na\r\n${chunkedInner}`)],
  ['a bare line feed', `POST /v1/telemetry HTTP/1.1\nHost: x\nContent-Length: 0\n\n${inner}`],
  ['a header with a NUL', post('X: a\0b\r\nContent-Length: 0', inner)],
  ['HTTP/2 by prior knowledge (CVE-2025-59465)', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0'],
  ['no host', 'GET /v1/me HTTP/1.1\r\n\r\n'],
])('%s: refused, and nothing in it is taken for a request', async (_what, bytes) => {
  const said = statuses(await say(bytes));
  expect(said.filter((status) => status < 400)).toEqual([]);
  expect(said.length).toBeLessThanOrEqual(1);
});

test.each([
  '//v1/me',
  '/v1//me',
  '/v1/./me',
  '/v1/x/../me',
  '/v1/%2e%2e/v1/me',
  '/v1%2fme',
  '/v1/me/',
  '/V1/ME',
  '/v1/me;x',
  '/v1/telemetry/../../registry',
])('%s is not a path that exists', async (path) => {
  const said = await say(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  expect(statuses(said)).toHaveLength(1);
  expect([400, 403, 404]).toContain(statuses(said)[0]);
});

test('chunk extensions and trailers are bounded', async () => {
  const extension = `1;${'x'.repeat(100_000)}\r\n1\r\n0\r\n\r\n`;
  expect(statuses(await say(post('Transfer-Encoding: chunked', extension)))).not.toContain(202);
  const trailers = `1\r\n1\r\n0\r\n${'X: y\r\n'.repeat(20_000)}\r\n`;
  expect(
    statuses(await say(post('Transfer-Encoding: chunked\r\nConnection: close', trailers))),
  ).not.toContain(200);
});

test('nothing was smuggled', async () => {
  const said = await say(post('Content-Length: 6\r\nConnection: close', '"last"'));
  expect(statuses(said)).toEqual([202]);
  const { eventually } = await import('../harness/eventually.ts');
  await eventually(async () => expect((await house.delivered()).map(({ data }) => data)).toContain('last'));
  expect((await house.delivered()).filter(({ subject }) => subject === 'smuggled')).toEqual([]);
});
