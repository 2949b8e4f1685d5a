/** Reading in place rests on names inside Node: here it is seen whether the runtime still has them. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { readInPlace } from '../../../../gateway/door/read-in-place.ts';
import { makeForeignCertificate } from '../../../../simulator/impostor.ts';

test('every chunk of every socket lies in the same memory, whole and in order; pause holds it back', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const server = tls.createServer({
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: await makeForeignCertificate(privateKey, 'localhost'),
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const memory = new Set<ArrayBufferLike>();
  const ends: Promise<unknown>[] = [];
  const heard: string[] = [];
  const sockets: TLSSocket[] = [];
  server.on('secureConnection', (socket) => {
    const index = sockets.push(socket) - 1;
    heard[index] = '';
    readInPlace(socket, (chunk) => {
      memory.add(chunk.buffer);
      heard[index] += chunk.toString();
      socket.pause();
      setImmediate(() => socket.resume());
    });
    ends.push(once(socket, 'end'));
  });
  const words = Array.from({ length: 5000 }, (_, n) => `word ${n}, `).join('');
  const clients = await Promise.all(
    [0, 1, 2].map(async () => {
      const client = tls.connect({
        port: (server.address() as AddressInfo).port,
        rejectUnauthorized: false,
      });
      await once(client, 'secureConnect');
      return client;
    }),
  );
  for (const client of clients) client.end(words);
  while (ends.length < clients.length) await new Promise((resolve) => setImmediate(resolve));
  await Promise.all(ends);
  expect(heard).toEqual(clients.map(() => words));
  expect(memory.size).toBe(1);
  for (const socket of [...sockets, ...clients]) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});
