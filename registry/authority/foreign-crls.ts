/**
 * The CRLs of all anchors, at hand: what they list, until when they are good, and what is wrong with their sources. A
 * better one revokes what it lists of the recorded certificates; that is the work of foreign-revocation.ts.
 */
import { hash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log.ts';
import type { Anchor, AnchorRegister } from './anchor-register.ts';
import { CrlKeeper } from './crl-keeper.ts';
import type { CrlFetchLimits } from './crl-source.ts';
import type { CrlReason } from './foreign-crl.ts';
import type { Step } from './foreign-path.ts';

export interface ForeignCrlsOptions {
  register: AnchorRegister;
  /** Folder for the last good ones. */
  dir: string;
  limits: CrlFetchLimits;
  clock: Clock;
  log: Logger;
  /** The CRLs of an anchor have changed. */
  onChanged: (anchor: string) => Promise<void>;
}

export interface CrlSourceView {
  readonly source: string;
  /** Decimal; null when none was ever taken. */
  readonly number: string | null;
  readonly entries: number;
  readonly nextUpdateMs: number | null;
  readonly problem: string | null;
}

export class ForeignCrls implements AsyncDisposable {
  readonly #options: ForeignCrlsOptions;
  readonly #keepers = new Map<string, CrlKeeper[]>();
  readonly #beginning = new Set<Promise<void>>();

  constructor(options: ForeignCrlsOptions) {
    this.#options = options;
  }

  /** Begins to keep the CRLs of an anchor. Resolves when each source was tried once. */
  async follow(anchor: Anchor): Promise<void> {
    const work = this.#follow(anchor);
    this.#beginning.add(work);
    await work.finally(() => this.#beginning.delete(work));
  }

  async #follow(anchor: Anchor): Promise<void> {
    await this.forget(anchor.id);
    const { register, dir, limits, clock, log, onChanged } = this.#options;
    const { crl } = anchor.terms.revocation;
    if (crl.length === 0) return;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const keepers = crl.map(
      (source) =>
        new CrlKeeper({
          source,
          path: join(dir, `${hash('sha256', `${anchor.id}\n${source}`, 'hex').slice(0, 32)}.crl`),
          cas: () => register.cas(anchor.id),
          limits,
          clock,
          onTaken: async () => {
            log.info({ anchor: anchor.id, source }, 'A CRL of a foreign CA was taken.');
            await onChanged(anchor.id);
          },
        }),
    );
    this.#keepers.set(anchor.id, keepers);
    await Promise.all(keepers.map((keeper) => keeper.start()));
    // Once more for what the disk had, when no source gave anything better.
    if (this.#keepers.get(anchor.id) === keepers) await onChanged(anchor.id);
  }

  async forget(anchor: string): Promise<void> {
    const keepers = this.#keepers.get(anchor) ?? [];
    this.#keepers.delete(anchor);
    for (const keeper of keepers) await keeper[Symbol.asyncDispose]();
  }

  /** Why a certificate, or one above it, is listed by a CRL of its issuer; null when none is, as far as CRLs are at hand. */
  reasonOf(anchor: string, steps: readonly Step[]): CrlReason | null {
    for (const { by, serial } of steps) {
      for (const { taken } of this.#keepers.get(anchor) ?? []) {
        const reason = taken?.by === by ? taken.crl.reasonOf(serial) : null;
        if (reason && reason !== 'removeFromCRL') return reason;
      }
    }
    return null;
  }

  /** Whether a CRL of this CA is at hand, in time or not. */
  covers(anchor: string, by: string): boolean {
    return (this.#keepers.get(anchor) ?? []).some(({ taken }) => taken?.by === by);
  }

  /** The nextUpdate that comes first; null when some source never gave a CRL; undefined when there are no sources. */
  nextUpdateMs(anchor: string): number | null | undefined {
    const keepers = this.#keepers.get(anchor) ?? [];
    if (keepers.length === 0) return undefined;
    const times = keepers.map(({ taken }) => taken?.crl.nextUpdateMs ?? Number.NaN);
    return times.some(Number.isNaN) ? null : Math.min(...times);
  }

  view(anchor: string): CrlSourceView[] {
    return (this.#keepers.get(anchor) ?? []).map(({ source, taken, problem }) => ({
      source,
      number: taken ? String(taken.crl.number) : null,
      entries: taken?.crl.count ?? 0,
      nextUpdateMs: taken?.crl.nextUpdateMs ?? null,
      problem,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const anchor of [...this.#keepers.keys()]) await this.forget(anchor);
    await Promise.allSettled(this.#beginning);
  }
}
