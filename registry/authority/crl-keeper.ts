/**
 * One source of a CRL, kept current: fetched when it is due, before it ends and with jitter; taken only when it is better
 * than the last good one, which is kept on disk. A file is looked at often, a URL when its CRL is half over.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Certificate } from '#common/x509/certificate.ts';
import { type CrlFetchLimits, fetchCrl, fileStamp, isUrl } from './crl-source.ts';
import { CrlRefused, type ForeignCrl, isIssuerOf, judgeCrl, readCrl } from './foreign-crl.ts';

export interface CrlKeeperOptions {
  source: string;
  /** Where the last good one is kept. */
  path: string;
  /** CAs that may have issued it, by key tag. */
  cas: () => ReadonlyMap<string, Certificate>;
  limits: CrlFetchLimits;
  clock: Clock;
  /** A better one was taken; awaited before the next is fetched. */
  onTaken: () => Promise<void>;
}

/** A CRL that was taken, and who has issued it: its key tag (foreign-path.ts). */
export interface TakenCrl {
  readonly crl: ForeignCrl;
  readonly by: string;
}

const retry = { firstMs: 1_000, limitMs: 5 * 60_000 };
const filePollMs = 1_000;
/** A URL is asked no oftener, however short its CRLs are. */
const leastPauseMs = 1_000;
const mostPauseMs = 6 * 3_600_000;

export class CrlKeeper implements AsyncDisposable {
  readonly source: string;
  readonly #options: CrlKeeperOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #taken: TakenCrl | null = null;
  #problem: string | null = null;
  #failures = 0;
  #stamp: string | null = null;

  constructor(options: CrlKeeperOptions) {
    this.#options = options;
    this.source = options.source;
  }

  get taken(): TakenCrl | null {
    return this.#taken;
  }

  /** Why the last try came to nothing, as a sentence; null when it did not. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Takes up the last good one, tries once, and goes on by itself. Resolves after the first try, whatever came of it. */
  async start(): Promise<void> {
    const begun = this.#restore().then(() => this.#try());
    this.#running = begun;
    await begun;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await clock.sleep(this.#pauseMs(), signal);
      if (signal.aborted || (await this.#isUnchanged())) continue;
      await this.#try();
    }
  }

  #pauseMs(): number {
    if (!isUrl(this.source)) return filePollMs;
    if (this.#failures > 0) return backoffMs(retry, this.#failures);
    const leftMs = (this.#taken?.crl.nextUpdateMs ?? 0) - this.#options.clock.now();
    const halfMs = Math.min(mostPauseMs, Math.max(leastPauseMs, leftMs / 2));
    return halfMs * (0.8 + 0.2 * Math.random());
  }

  async #isUnchanged(): Promise<boolean> {
    return !isUrl(this.source) && this.#failures === 0 && (await fileStamp(this.source)) === this.#stamp;
  }

  async #try(): Promise<void> {
    const { source, limits } = this.#options;
    try {
      const stamp = isUrl(source) ? null : await fileStamp(source);
      const isBetter = await this.#take(await fetchCrl(source, limits, this.#stop.signal));
      this.#stamp = stamp;
      this.#problem = null;
      this.#failures = 0;
      if (isBetter && !this.#stop.signal.aborted) await this.#options.onTaken();
    } catch (thrown) {
      this.#failures += 1;
      const why =
        thrown instanceof CrlRefused ? `${thrown.problem}: ${thrown.message}` : Fault.of(thrown).message;
      this.#problem = `the CRL at ${source} was not taken (${why})`;
    }
  }

  /** Whether it is another one than before. Throws a CrlRefused. */
  async #take(bytes: Buffer): Promise<boolean> {
    const { limits, clock, path } = this.#options;
    if (this.#taken?.crl.der.equals(bytes)) {
      judgeCrl(this.#taken.crl, this.#issuerOf(this.#taken.crl).ca, null, clock.now());
      return false;
    }
    const crl = await readCrl(bytes, limits.maxBytes);
    const { by, ca } = this.#issuerOf(crl);
    judgeCrl(crl, ca, this.#taken?.crl.number ?? null, clock.now());
    await writeFile(`${path}.new`, bytes, { mode: 0o600 });
    await rename(`${path}.new`, path);
    this.#taken = { crl, by };
    return true;
  }

  #issuerOf(crl: ForeignCrl): { by: string; ca: Certificate } {
    for (const [by, ca] of this.#options.cas()) if (isIssuerOf(ca, crl)) return { by, ca };
    throw new CrlRefused('wrong-issuer', 'it is of none of the CAs of this anchor');
  }

  /** From before a restart: read and judged anew, except that it may have ended meanwhile. */
  async #restore(): Promise<void> {
    const { path, limits } = this.#options;
    const bytes = await readFile(path).catch(() => null);
    if (!bytes) return;
    try {
      const crl = await readCrl(bytes, limits.maxBytes);
      const { by, ca } = this.#issuerOf(crl);
      judgeCrl(crl, ca, null, Math.min(this.#options.clock.now(), crl.nextUpdateMs));
      this.#taken = { crl, by };
    } catch {
      // Not whole any more: as if there were none.
      await rm(path, { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
