/** Builds one CRL: read and encoded in a thread of its own, signed by whoever holds the key, put together here. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Fault } from '#common/fault.ts';
import { assembleCrl, type CrlContents } from './crl.ts';
import type { TbsSigner } from './signer.ts';

export interface CrlTask {
  /** The registry's SQLite file. */
  readonly path: string;
  /** Its id in there. */
  readonly issuer: string;
  readonly contents: CrlContents;
  /** What expired before may be left out: a revoked certificate stays until a list after its end (RFC 5280, section 3.3). */
  readonly notAfterMs: number;
}

export interface BuiltCrl {
  readonly der: Buffer;
  /** How many certificates it lists. */
  readonly entries: number;
}

/** Faults `unavailable` when the file cannot be read, `timeout` when the signal aborts. */
export async function buildCrl(task: CrlTask, signer: TbsSigner, signal: AbortSignal): Promise<BuiltCrl> {
  const { tbs, entries } = await encode(task, signal);
  const signature = await signer.sign(tbs);
  return { der: assembleCrl(tbs, task.contents.algorithm, signature), entries };
}

async function encode(task: CrlTask, signal: AbortSignal): Promise<{ tbs: Buffer; entries: number }> {
  const worker = new Worker(new URL('./crl-thread.ts', import.meta.url), { workerData: task });
  try {
    // An error of the thread rejects this wait.
    const [{ tbs, entries }] = (await once(worker, 'message', { signal })) as [
      { tbs: Uint8Array<ArrayBuffer>; entries: number },
    ];
    return { tbs: Buffer.from(tbs.buffer, tbs.byteOffset, tbs.length), entries };
  } catch (cause) {
    if (signal.aborted) throw new Fault('timeout', 'The CRL was not built in time.', { cause });
    throw new Fault('unavailable', 'The revoked certificates cannot be read.', { cause });
  } finally {
    await worker.terminate();
  }
}
