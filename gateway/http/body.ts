/** Reads a request body up to a limit, judged by what is announced and by what arrives. */
import type { IncomingMessage } from 'node:http';
import { Fault } from '#common/fault.ts';

/** Faults `too-large`; `malformed` when the client breaks off. */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const tooLarge = () => new Fault('too-large', `A body has at most ${limit} bytes here.`);
  if (Number(request.headers['content-length'] ?? 0) > limit) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        request.pause();
        reject(tooLarge());
      } else chunks.push(chunk);
    });
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    request.once('error', (cause) => reject(new Fault('malformed', 'The body broke off.', { cause })));
  });
}
