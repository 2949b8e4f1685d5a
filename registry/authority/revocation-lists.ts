/** The CRLs of the registry's own issuers, kept in step with what is revoked: a list for each, whatever the change. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import type { Change, ChangeKind } from '#common/contract/change.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import type { PublishedCrl } from '../ca/read-crl.ts';
import type { Writer } from '../store/writer.ts';
import type { Feed } from './feed.ts';
import { RevocationList } from './revocation-list.ts';

/** The registry's own issuers, as far as this needs them. */
export interface ListIssuers {
  readonly ids: readonly string[];
  find(id: string): Pick<IssuingCa, 'identity' | 'signer' | 'certificate'>;
}

export interface RevocationListsParts {
  issuers: ListIssuers;
  feed: Feed;
  writer: Pick<Writer, 'write'>;
  /** The registry's SQLite file. */
  store: string;
  /** Folder of the last good ones. */
  dir: string;
  lifetimeMs: number;
  metrics: Metrics;
  clock: Clock;
  log: Logger;
}

/** Whether a change can alter what is listed. */
const alters = {
  'fleet-created': false,
  'fleet-changed': false,
  'certificate-issued': false,
  'certificate-expired': false,
  'certificate-status': false,
  'certificate-revoked': true,
  'certificate-held': true,
  'certificate-reinstated': true,
  'certificates-revoked': true,
  'device-registered': false,
  'device-changed': false,
  'device-disabled': false,
  'device-enabled': false,
  'device-suspected': false,
  'device-quarantined': false,
  'device-revoked': true,
  'device-deleted': true,
  'role-changed': false,
  'issuer-changed': true,
} as const satisfies Record<ChangeKind, boolean>;

export class RevocationLists implements AsyncDisposable {
  readonly #parts: RevocationListsParts;
  readonly #lists = new Map<string, RevocationList>();
  #leave: () => void = () => {};
  #adding: Promise<void> = Promise.resolve();

  private constructor(parts: RevocationListsParts) {
    this.#parts = parts;
  }

  /** After the issuers were admitted. */
  static async open(parts: RevocationListsParts): Promise<RevocationLists> {
    const lists = new RevocationLists(parts);
    await mkdir(parts.dir, { recursive: true, mode: 0o700 });
    for (const id of parts.issuers.ids) await lists.#add(id);
    lists.#leave = parts.feed.follow((change) => lists.#hear(change));
    return lists;
  }

  /** The list that is published for an issuer. */
  find(issuer: string): PublishedCrl | undefined {
    return this.#lists.get(issuer)?.current;
  }

  #hear(change: Change): void {
    if (!alters[change.kind]) return;
    const concerned = new Set(change.entries.map(({ issuer }) => issuer));
    for (const [id, list] of this.#lists) if (concerned.size === 0 || concerned.has(id)) list.renew();
    if (change.kind === 'issuer-changed') this.#adding = this.#adding.then(() => this.#followIssuers());
  }

  /** A list for each that has come; none any more for one that is gone: there is nothing left that it could speak of. */
  async #followIssuers(): Promise<void> {
    const { issuers, metrics, log } = this.#parts;
    for (const [id, list] of this.#lists) {
      if (issuers.ids.includes(id)) continue;
      this.#lists.delete(id);
      await list[Symbol.asyncDispose]();
      metrics.crlNextUpdateTimestampSeconds.remove({ issuer: id });
    }
    for (const id of issuers.ids) {
      try {
        if (!this.#lists.has(id)) await this.#add(id);
      } catch (thrown) {
        log.error({ issuer: id, fault: Fault.of(thrown).message }, 'An issuer has no CRL yet.');
      }
    }
  }

  async #add(issuer: string): Promise<void> {
    const { issuers, dir, metrics, ...parts } = this.#parts;
    const { identity, signer, certificate } = issuers.find(issuer);
    const list = await RevocationList.open({
      ...parts,
      issuer,
      keys: { identity, publicKey: certificate.publicKey, algorithm: signer.algorithm },
      signer,
      file: join(dir, `${issuer}.crl`),
      onPublished: ({ nextUpdateMs }) =>
        metrics.crlNextUpdateTimestampSeconds.set({ issuer }, nextUpdateMs / 1000),
    });
    this.#lists.set(issuer, list);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave();
    await this.#adding;
    for (const list of this.#lists.values()) await list[Symbol.asyncDispose]();
  }
}
