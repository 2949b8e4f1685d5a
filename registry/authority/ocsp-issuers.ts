/** Who signs OCSP answers for which of the registry's own issuers: a delegate each, from when its key is here. */
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import { OcspDelegate } from '../ca/ocsp-delegate.ts';
import type { Feed } from './feed.ts';
import type { HouseCertificate } from './house-certificates.ts';
import type { OcspIssuer } from './ocsp-responder.ts';

/** The registry's own issuers, as far as this needs them. */
export interface DelegatingIssuers {
  readonly ids: readonly string[];
  find(id: string): Pick<IssuingCa, 'identity' | 'signer' | 'notAfterMs'>;
}

export interface OcspIssuersParts {
  issuers: DelegatingIssuers;
  feed: Feed;
  record: (certificate: HouseCertificate) => Promise<void>;
  lifetimeMs: number;
  clock: Clock;
  log: Logger;
}

export class OcspIssuers implements AsyncDisposable {
  readonly #parts: OcspIssuersParts;
  readonly #delegates = new Map<string, OcspDelegate>();
  #all: readonly OcspIssuer[] = [];
  #leave: () => void = () => {};
  #adding: Promise<void> = Promise.resolve();

  private constructor(parts: OcspIssuersParts) {
    this.#parts = parts;
  }

  /** After the issuers were admitted. */
  static async open(parts: OcspIssuersParts): Promise<OcspIssuers> {
    const all = new OcspIssuers(parts);
    await all.#followIssuers();
    all.#leave = parts.feed.follow(({ kind }) => {
      if (kind === 'issuer-changed') all.#adding = all.#adding.then(() => all.#followIssuers());
    });
    return all;
  }

  get all(): readonly OcspIssuer[] {
    return this.#all;
  }

  async #followIssuers(): Promise<void> {
    const { issuers, log } = this.#parts;
    for (const [id, delegate] of this.#delegates) {
      if (issuers.ids.includes(id)) continue;
      this.#all = this.#all.filter(({ name }) => name !== id);
      this.#delegates.delete(id);
      delegate[Symbol.dispose]();
    }
    for (const id of issuers.ids) {
      try {
        if (!this.#delegates.has(id)) await this.#add(id);
      } catch (thrown) {
        log.error(
          { issuer: id, fault: Fault.of(thrown).message },
          'An issuer has no signer of OCSP answers yet.',
        );
      }
    }
  }

  async #add(id: string): Promise<void> {
    const { issuers, record, lifetimeMs, clock, log } = this.#parts;
    const { identity, notAfterMs, signer } = issuers.find(id);
    const delegate = await OcspDelegate.open({
      issuer: identity,
      issuerNotAfterMs: notAfterMs,
      signer,
      record: (serial, endMs) =>
        record({ issuer: id, serial, purpose: 'ocsp', name: id, not_after_ms: endMs }),
      lifetimeMs,
      clock,
      log,
    });
    this.#delegates.set(id, delegate);
    const issuer: OcspIssuer = {
      name: id,
      identity,
      get signer() {
        return delegate.current;
      },
    };
    this.#all = [...this.#all, issuer];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave();
    await this.#adding;
    for (const delegate of this.#delegates.values()) delegate[Symbol.dispose]();
  }
}
