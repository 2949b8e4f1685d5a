/** Where CRLs come from: files and web servers that are slow, large, wrong or away. Each is a word, none an error or a wait. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { fetchCrl, fileStamp } from '../../../../registry/authority/crl-source.ts';

let dir: string;
let server: Server;
let url: string;
const limits = { maxBytes: 1000, timeoutMs: 300 };
const never = new AbortController().signal;
const take = (source: string) => fetchCrl(source, limits, never);

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'crl-source-'));
  server = createServer((request, response) => {
    switch (request.url) {
      case '/good':
        return response.end(Buffer.from([0x30, 0x00]));
      case '/large':
        return response.end(Buffer.alloc(1001, 0x30));
      case '/endless':
        response.write(Buffer.alloc(100, 0x30));
        return;
      case '/silent':
        return;
      case '/elsewhere':
        return response.writeHead(302, { location: '/good' }).end();
      default:
        return response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(dir, { recursive: true });
});

test('DER is taken as it is, PEM is read, by http and from a file', async () => {
  expect([...(await take(`${url}/good`))]).toEqual([0x30, 0x00]);
  const file = join(dir, 'a.crl');
  for (const text of ['0\0', '-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n']) {
    writeFileSync(file, text);
    expect([...(await take(file))]).toEqual([0x30, 0x00]);
  }
});

test.each([
  ['/large', /above 1000 bytes/],
  ['/endless', /cannot be reached|aborted/],
  ['/silent', /cannot be reached|aborted/],
  ['/elsewhere', /answered 302/],
  ['/nowhere', /answered 404/],
])('%s is not there', async (path, why) => {
  const before = systemClock.elapsed();
  await expect(take(url + path)).rejects.toMatchObject({
    kind: 'unavailable',
    message: expect.stringMatching(why),
  });
  expect(systemClock.elapsed() - before).toBeLessThan(5_000);
});

test('a file that is not there, or too large, or a folder, is not there', async () => {
  writeFileSync(join(dir, 'large.crl'), Buffer.alloc(1001));
  await expect(take(join(dir, 'large.crl'))).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(take(join(dir, 'none.crl'))).rejects.toMatchObject({
    message: expect.stringMatching(/ENOENT/),
  });
  await expect(take(dir)).rejects.toMatchObject({ kind: 'unavailable' });
  expect(await fileStamp(join(dir, 'none.crl'))).toBeNull();
});

test('nobody waits for it when the registry ends', async () => {
  const ended = new AbortController();
  const fetched = fetchCrl(`${url}/silent`, { maxBytes: 10, timeoutMs: 60_000 }, ended.signal);
  ended.abort();
  await expect(fetched).rejects.toMatchObject({ kind: 'unavailable' });
});
