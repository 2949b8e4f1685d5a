/** A key of the CA in a PKCS #11 token: the end on the main thread. The token is spoken to in a thread of its own. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Cancel, Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Pkcs11Settings } from '../settings.ts';
import type { FromToken, TokenSetup, ToToken } from './pkcs11/messages.ts';
import { type SignatureAlgorithm, type Signer, signatureAlgorithmOf } from './signer.ts';

interface Asked {
  settle(signature: Buffer): void;
  refuse(fault: Fault): void;
  readonly cancel: Cancel;
}

/** Signatures that may wait for the token; more are refused, since they would not be made in time. */
export const mostWaiting = 1000;

export class Pkcs11Signer implements Signer {
  readonly publicKey: KeyObject;
  readonly algorithm: SignatureAlgorithm;
  readonly #settings: Pkcs11Settings;
  readonly #clock: Clock;
  readonly #asked = new Map<number, Asked>();
  #thread: Worker | null = null;
  #closed = false;
  #nextId = 1;

  private constructor(publicKey: KeyObject, thread: Worker, settings: Pkcs11Settings, clock: Clock) {
    this.publicKey = publicKey;
    this.algorithm = signatureAlgorithmOf(publicKey);
    this.#settings = settings;
    this.#clock = clock;
    this.#follow(thread);
  }

  /** Faults `unavailable` with what to do when module, token, PIN or key are not as the settings say. */
  static async open(settings: Pkcs11Settings, clock: Clock): Promise<Pkcs11Signer> {
    const { thread, publicKey } = await start(settings, clock);
    try {
      return new Pkcs11Signer(publicKey, thread, settings, clock);
    } catch (thrown) {
      thread.postMessage({ close: true } satisfies ToToken);
      throw thrown;
    }
  }

  async sign(data: Buffer): Promise<Buffer> {
    if (this.#closed) throw new Fault('unavailable', 'The CA key is closed: the registry is shutting down.');
    if (this.#asked.size >= mostWaiting) {
      throw new Fault('unavailable', `${mostWaiting} signatures wait for the token already; try again.`, {
        retryAfterMs: 1000,
      });
    }
    const thread = this.#thread ?? (await this.#revive());
    const id = this.#nextId++;
    const { timeout } = this.#settings;
    return new Promise<Buffer>((settle, refuse) => {
      const cancel = this.#clock.after(timeout, () => {
        this.#take(id)?.refuse(
          new Fault(
            'unavailable',
            `The token "${this.#settings.tokenLabel}" has not answered for ${timeout / 1000} s; is its network or its software down?`,
          ),
        );
      });
      this.#asked.set(id, { settle, refuse, cancel });
      // A copy to give away: the buffer may be a part of a larger one.
      const sign = new Uint8Array(data);
      thread.postMessage({ id, sign } satisfies ToToken, [sign.buffer]);
    });
  }

  /** Waits for the thread, and no longer than for a signature: a call that hangs cannot be taken back. */
  async close(): Promise<void> {
    this.#closed = true;
    const thread = this.#thread;
    if (!thread) return;
    const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
    const late = new Promise<void>((resolve) => this.#clock.after(this.#settings.timeout, resolve));
    thread.postMessage({ close: true } satisfies ToToken);
    await Promise.race([ended, late]);
    thread.unref();
    this.#lose(thread, 'The CA key is closed: the registry is shutting down.');
  }

  #follow(thread: Worker): void {
    this.#thread = thread;
    thread.on('message', (message: FromToken) => {
      if ('ready' in message || message.id === undefined) return;
      const asked = this.#take(message.id);
      if ('signature' in message) asked?.settle(Buffer.from(message.signature));
      else
        asked?.refuse(
          new Fault('unavailable', message.refused, { cause: message.cause, retryAfterMs: 1000 }),
        );
    });
    thread.on('error', (error) => this.#lose(thread, `The thread of the token ended: ${String(error)}`));
    thread.on('exit', () => this.#lose(thread, 'The thread of the token ended.'));
  }

  async #revive(): Promise<Worker> {
    const { thread, publicKey } = await start(this.#settings, this.#clock);
    if (this.#closed || !publicKey.equals(this.publicKey)) {
      thread.postMessage({ close: true } satisfies ToToken);
      throw new Fault('unavailable', 'The token came back with another key, or too late.');
    }
    // Two that asked at once have each started one; the first that came is kept.
    if (this.#thread) thread.postMessage({ close: true } satisfies ToToken);
    else this.#follow(thread);
    return this.#thread!;
  }

  #take(id: number): Asked | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    asked?.cancel();
    return asked;
  }

  #lose(thread: Worker, why: string): void {
    if (this.#thread !== thread) return;
    this.#thread = null;
    for (const id of [...this.#asked.keys()]) this.#take(id)?.refuse(new Fault('unavailable', why));
  }
}

async function start(
  settings: Pkcs11Settings,
  clock: Clock,
): Promise<{ thread: Worker; publicKey: KeyObject }> {
  const { module, tokenLabel, keyLabel, pinFile, timeout } = settings;
  const workerData: TokenSetup = { module, tokenLabel, keyLabel, pinFile };
  const thread = new Worker(new URL('./pkcs11/token-thread.ts', import.meta.url), { workerData });
  const late = new AbortController();
  const cancel = clock.after(timeout, () => late.abort());
  try {
    const [message] = (await once(thread, 'message', { signal: late.signal })) as [FromToken];
    if ('ready' in message) {
      const key = Buffer.from(message.ready);
      return { thread, publicKey: createPublicKey({ key, format: 'der', type: 'spki' }) };
    }
    const [refused, cause] =
      'refused' in message
        ? [message.refused, message.cause]
        : ['The token answered before it was asked.', ''];
    throw new Fault('unavailable', refused, { cause });
  } catch (thrown) {
    if (!late.signal.aborted) throw thrown;
    thread.unref();
    thread.postMessage({ close: true } satisfies ToToken);
    throw new Fault(
      'unavailable',
      `The PKCS #11 module ${module} has not answered for ${timeout / 1000} s; is its network or its software down?`,
      { cause: thrown },
    );
  } finally {
    cancel();
  }
}
