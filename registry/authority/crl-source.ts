/** Where a CRL is fetched: a file, or a URL of http. Bounded in size and time; what it says is read elsewhere. */
import { open } from 'node:fs/promises';
import { request } from 'undici';
import { Fault } from '#common/fault.ts';

export interface CrlFetchLimits {
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

export const isUrl = (source: string): boolean => source.includes('://');

/** What is there now, in DER. Faults `unavailable` with the reason. */
export async function fetchCrl(source: string, limits: CrlFetchLimits, signal: AbortSignal): Promise<Buffer> {
  return derOf(isUrl(source) ? await download(source, limits, signal) : await readBounded(source, limits));
}

/** A word that changes when the file does; null when it is not there. For URLs there is none. */
export async function fileStamp(path: string): Promise<string | null> {
  try {
    await using file = await open(path, 'r');
    const { mtimeNs, size, ino } = await file.stat({ bigint: true });
    return `${mtimeNs}/${size}/${ino}`;
  } catch {
    return null;
  }
}

const away = (why: string, cause?: unknown) => new Fault('unavailable', why, { cause });
const tooLarge = (maxBytes: number) => away(`it is above ${maxBytes} bytes`);

async function readBounded(path: string, { maxBytes }: CrlFetchLimits): Promise<Buffer> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    if (size > maxBytes) throw tooLarge(maxBytes);
    return await file.readFile();
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw away(`the file cannot be read (${(thrown as NodeJS.ErrnoException).code ?? 'unknown'})`, thrown);
  }
}

/** No redirects: what is configured is what is asked. */
async function download(
  url: string,
  { maxBytes, timeoutMs }: CrlFetchLimits,
  ended: AbortSignal,
): Promise<Buffer> {
  try {
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), ended]);
    const answer = await request(url, { signal });
    if (answer.statusCode !== 200) {
      await answer.body.dump({ limit: 16_384 });
      throw away(`the server answered ${answer.statusCode}`);
    }
    return await gather(answer.body, maxBytes);
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw away(`the server cannot be reached (${(thrown as Error).message})`, thrown);
  }
}

/** A body up to a bound; the connection is ended beyond it. */
export async function gather(body: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const pemHead = '-----BEGIN X509 CRL-----';

/** `openssl ca -gencrl` writes PEM; the wire and most files have DER (RFC 5280, section 4.2.1.13). */
function derOf(bytes: Buffer): Buffer {
  const head = bytes.indexOf(pemHead);
  if (bytes[0] === 0x30 || head < 0) return bytes;
  const end = bytes.indexOf('-----END X509 CRL-----', head);
  return Buffer.from(bytes.toString('latin1', head + pemHead.length, end < 0 ? bytes.length : end), 'base64');
}
