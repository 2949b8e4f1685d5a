/**
 * The CRL of one issuer: signed anew when something was revoked and when half its life is over, one build at a time,
 * and the last good one kept on disk. Its number only grows, whatever is restored.
 */
import { open, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { backoffMs } from '#common/backoff.ts';
import type { Cancel, Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import { buildCrl } from '../ca/crl-build.ts';
import { type CrlIssuer, type PublishedCrl, readCrl } from '../ca/read-crl.ts';
import type { TbsSigner } from '../ca/signer.ts';
import type { Writer } from '../store/writer.ts';

export interface RevocationListOptions {
  /** Id in the registry. */
  readonly issuer: string;
  readonly keys: CrlIssuer;
  readonly signer: TbsSigner;
  /** The registry's SQLite file. */
  readonly store: string;
  /** Where the last good one is kept. */
  readonly file: string;
  readonly writer: Pick<Writer, 'write'>;
  readonly lifetimeMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told whenever a newer one is published, and of the one that was kept. */
  readonly onPublished: (crl: PublishedCrl) => void;
}

const retry = { firstMs: 1_000, limitMs: 60_000 };
const buildTimeoutMs = 60_000;
/**
 * How long a certificate is listed after its end, beyond the life of a list: it must be on one that was issued on
 * schedule after that (RFC 5280, section 3.3), and the registry may have been down for a while.
 */
const keepExpiredMs = 7 * 86_400_000;

/** Between two builds. What is revoked after a quiet while is published at once. */
const leastRestMs = 300;

export class RevocationList implements AsyncDisposable {
  readonly #options: RevocationListOptions;
  #published: PublishedCrl | undefined;
  /** Something has changed since the last build began. */
  #wanted = false;
  #running: Promise<void> | undefined;
  readonly #closing = new AbortController();
  #cancel: Cancel = () => {};

  private constructor(options: RevocationListOptions) {
    this.#options = options;
  }

  /** Publishes what was kept, however old, and begins with a newer one. */
  static async open(options: RevocationListOptions): Promise<RevocationList> {
    const list = new RevocationList(options);
    const kept = await readKept(options);
    if (kept) list.#publish(kept);
    list.renew();
    return list;
  }

  /** Undefined until the first is signed. */
  get current(): PublishedCrl | undefined {
    return this.#published;
  }

  /** Asks for a newer list. However often it is asked, at most one build is under way and one waits. */
  renew(): void {
    this.#wanted = true;
    if (!this.#closing.signal.aborted) this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    const { clock, log, issuer } = this.#options;
    const { signal } = this.#closing;
    let attempt = 0;
    while (this.#wanted && !signal.aborted) {
      this.#wanted = false;
      const begun = clock.elapsed();
      try {
        await this.#build();
        attempt = 0;
        // A thread a build: never more than half of a core for this, nor many a second, whatever is revoked.
        if (this.#wanted) await clock.sleep(Math.max(leastRestMs, clock.elapsed() - begun), signal);
      } catch (thrown) {
        if (signal.aborted) break;
        this.#wanted = true;
        attempt += 1;
        const { message, cause } = Fault.of(thrown);
        log.error(
          { issuer, fault: message, cause: String(cause) },
          'A CRL could not be renewed; the last one stands.',
        );
        await clock.sleep(backoffMs(retry, attempt), signal);
      }
    }
    this.#running = undefined;
  }

  async #build(): Promise<void> {
    const { issuer, keys, signer, store, lifetimeMs, clock, file } = this.#options;
    const number = await this.#nextNumber();
    const thisUpdateMs = Math.floor(clock.now() / 1000) * 1000;
    const contents = {
      issuerName: keys.identity.name,
      authorityKeyId: keys.identity.keyId,
      number,
      thisUpdateMs,
      nextUpdateMs: thisUpdateMs + lifetimeMs,
      algorithm: keys.algorithm.der,
    };
    const task = { path: store, issuer, contents, notAfterMs: thisUpdateMs - lifetimeMs - keepExpiredMs };
    const patience = new AbortController();
    const stop = clock.after(buildTimeoutMs, () => patience.abort());
    const signal = AbortSignal.any([this.#closing.signal, patience.signal]);
    const { der } = await buildCrl(task, signer, signal).finally(stop);
    // Read again before anybody gets it.
    const crl = await readCrl(der, keys);
    await keep(file, der);
    this.#publish(crl);
  }

  /**
   * Written down before the list is signed. Never below the seconds since 1970, so that a registry that was restored
   * from a backup goes on above what it had published since then.
   */
  #nextNumber(): Promise<bigint> {
    const { writer, issuer, clock } = this.#options;
    const seconds = Math.floor(clock.now() / 1000);
    const published = Number(this.#published?.number ?? 0n);
    return writer.write(async (write) => {
      const row = await write
        .selectFrom('issuers')
        .select('crl_number')
        .where('id', '=', issuer)
        .executeTakeFirstOrThrow();
      const number = Math.max(row.crl_number + 1, published + 1, seconds);
      await write.updateTable('issuers').set({ crl_number: number }).where('id', '=', issuer).execute();
      return BigInt(number);
    });
  }

  #publish(crl: PublishedCrl): void {
    const { clock, lifetimeMs, onPublished } = this.#options;
    this.#published = crl;
    onPublished(crl);
    this.#cancel();
    const dueMs = crl.thisUpdateMs + lifetimeMs / 2 - clock.now();
    this.#cancel = clock.after(Math.max(dueMs, 0), () => this.renew());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    this.#closing.abort();
    await this.#running;
    this.#cancel();
  }
}

/** What is not whole, or not of this issuer, was not kept by this program: it is as if there were none. */
async function readKept({
  file,
  keys,
  log,
  issuer,
}: RevocationListOptions): Promise<PublishedCrl | undefined> {
  const der = await readFile(file).catch(() => undefined);
  if (!der) return undefined;
  try {
    return await readCrl(der, keys);
  } catch (thrown) {
    log.warn({ issuer, file, fault: Fault.of(thrown).message }, 'A CRL that was kept is of no use.');
    return undefined;
  }
}

/** By rename: a crash leaves the last one or this one. */
async function keep(file: string, der: Buffer): Promise<void> {
  await writeFile(`${file}.new`, der, { mode: 0o644, flush: true });
  await rename(`${file}.new`, file);
  const folder = await open(dirname(file));
  await folder.sync();
  await folder.close();
}
