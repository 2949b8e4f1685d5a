/**
 * Connections that come through a proxy: waits for the header that says for whom, from those addresses that may say it,
 * and gives back what came behind it. A listener without proxies has none of this.
 */
import type { Socket } from 'node:net';
import { addressRanges, isWithin } from '#common/address-range.ts';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { ProxySettings } from '../settings.ts';
import { type Endpoint, readProxyHeader } from './proxy-header.ts';

export interface ProxiedOptions extends ProxySettings {
  /** A header that is not whole by then does not come. */
  timeoutMs: number;
  /** Longest header of version 2, in bytes behind its first 16. */
  maxHeader: number;
  clock: Clock;
}

/** For whom a connection was made, null when the proxy speaks for itself; or what is wrong. */
export type Said = Endpoint | null | Fault;

export class Proxied {
  readonly #options: ProxiedOptions;
  readonly #ranges: ReturnType<typeof addressRanges>;

  /** Faults `malformed` for a range that is none. */
  constructor(options: ProxiedOptions) {
    this.#options = options;
    this.#ranges = addressRanges(options.from);
  }

  /** Whether a connection without a header is as good as one with. */
  get isOptional(): boolean {
    return !this.#options.required;
  }

  /** Whether an address may say for whom it connects. */
  lists(address: string): boolean {
    return address !== '' && isWithin(this.#ranges, address);
  }

  /** What a listed proxy says; `heard` is called once, or never when it closes without a word, as health checks do. */
  hear(socket: Socket, heard: (said: Said) => void): void {
    const { clock, timeoutMs, maxHeader } = this.#options;
    this.#gather(socket, clock, timeoutMs, heard, (bytes) => {
      const header = readProxyHeader(bytes, maxHeader);
      if (header.what === 'incomplete') return undefined;
      if (header.what === 'broken') return bad(header.why);
      if (header.what === 'none') return this.isOptional ? { said: null, length: 0 } : bad('it is missing');
      return { said: header.source, length: header.length };
    });
  }

  /** Whether somebody who is not listed says something all the same: a Fault, or null. The caller bounds the wait. */
  suspect(socket: Socket, heard: (said: Said) => void): void {
    const { clock, maxHeader } = this.#options;
    this.#gather(socket, clock, null, heard, (bytes) =>
      readProxyHeader(bytes, maxHeader).what === 'none' ? { said: null, length: 0 } : this.unlisted(),
    );
  }

  unlisted(): Fault {
    return new Fault(
      'proxy-header',
      'This address may not connect here, or not for others: proxy.from lists those that may.',
    );
  }

  /** Reads until `judge` has an answer, and puts back what is beyond the header. */
  #gather(
    socket: Socket,
    clock: Clock,
    timeoutMs: number | null,
    heard: (said: Said) => void,
    judge: (bytes: Buffer) => { said: Said; length: number } | Fault | undefined,
  ): void {
    let bytes: Buffer | null = null;
    const finish = (said: Said) => {
      cancel?.();
      socket.off('readable', onReadable);
      socket.off('close', onClose);
      heard(said);
    };
    const onReadable = () => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      bytes = bytes === null ? chunk : Buffer.concat([bytes, chunk]);
      const answer = judge(bytes);
      if (answer === undefined) return;
      if (answer instanceof Fault) return finish(answer);
      // TLS takes over what is put back, and reads from the handle by itself from there on.
      if (answer.length < bytes.length) socket.unshift(bytes.subarray(answer.length));
      finish(answer.said);
    };
    const onClose = () => {
      cancel?.();
      if (bytes !== null) heard(bad('it broke off'));
    };
    const cancel =
      timeoutMs === null ? undefined : clock.after(timeoutMs, () => finish(bad('it did not come in time')));
    // While nobody else has the socket: a reset must not end the process.
    socket.on('error', ignore);
    socket.on('readable', onReadable);
    socket.on('close', onClose);
  }
}

const bad = (why: string): Fault => new Fault('proxy-header', `The PROXY header is not in order: ${why}.`);
const ignore = () => {};
