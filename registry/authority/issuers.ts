/**
 * The registry's own issuing CAs, open: which signs what is new, and which have signed what is out. How they come, change
 * and go is said by issuer-rollover.ts.
 */
import type { Kysely } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { IssuerState } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { CaKeys } from '../ca/ca-keys.ts';
import type { IssuerKeys, KeyPlace } from '../ca/issuer-keys.ts';
import { IssuingCa } from '../ca/issuing-ca.ts';
import type { Signer } from '../ca/signer.ts';
import { issuerOf } from '../store/directory.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';

export interface IssuersParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  clock: Clock;
  log: Logger;
  keys: IssuerKeys;
  /** URL of the PKI door, as certificates say it. */
  pkiBase: string;
}

/** Id of the issuer that the first start makes. */
export const firstIssuer = 'issuing';

type IssuerRow = Tables['issuers'];

interface Own {
  readonly ca: IssuingCa;
  readonly signer: Signer;
  state: IssuerState;
}

export class Issuers implements AsyncDisposable {
  readonly #parts: IssuersParts;
  readonly #own = new Map<string, Own>();
  readonly #root: string;

  private constructor(parts: IssuersParts, root: string) {
    this.#parts = parts;
    this.#root = root;
  }

  /**
   * Opens all that are not removed; the first start makes one. Faults `unavailable` when a key cannot be opened: what it
   * has signed could neither be revoked nor renewed.
   */
  static async open(parts: IssuersParts): Promise<Issuers> {
    const { read, keys, log } = parts;
    const rows = await read
      .selectFrom('issuers')
      .selectAll()
      .where('kind', '=', 'own')
      .orderBy('created_ms')
      .execute();
    const first = rows.find(({ id }) => id === firstIssuer);
    const made = first?.state === 'removed' ? undefined : await keys.openFirst();
    const issuers = new Issuers(parts, await keys.root());
    try {
      if (made) await issuers.#admitFirst(first, made);
      for (const row of rows)
        if (row.id !== firstIssuer && row.state !== 'removed') await issuers.#reopen(row);
      const aside = await keys.settle(new Map(rows.map(({ id, state }) => [id, state])));
      if (aside.length > 0)
        log.warn({ issuers: aside }, 'Keys of issuing CAs that are of no use were set aside.');
      await keys.publish(issuers.trust);
      return issuers;
    } catch (thrown) {
      await issuers[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** The one that signs what is new, with its id. */
  get preferred(): { readonly id: string; readonly ca: IssuingCa } {
    for (const [id, { ca, state }] of this.#own) if (state === 'preferred') return { id, ca };
    throw new Fault('unavailable', 'No issuing CA is preferred; run: fleetgate issuers prefer.');
  }

  /** Faults `not-found` for an issuer whose key is not here. */
  find(id: string): IssuingCa {
    const own = this.#own.get(id);
    if (!own) throw new Fault('not-found', `There is no issuer ${id} here.`);
    return own.ca;
  }

  /** Ids of those that are trusted. */
  get ids(): readonly string[] {
    return [...this.#own.keys()];
  }

  stateOf(id: string): IssuerState | undefined {
    return this.#own.get(id)?.state;
  }

  /** Whether it may sign something new: asked where that is written down, since it may have changed meanwhile. */
  maySign(id: string): boolean {
    const state = this.stateOf(id);
    return state === 'preferred' || state === 'active';
  }

  /** PEM: the root and every issuing CA that is trusted. */
  get trust(): string {
    return this.#root + [...this.#own.values()].map(({ ca }) => ca.issuing).join('');
  }

  /** PEM by name, the root's too. */
  get certificates(): Readonly<Record<string, string>> {
    const own = [...this.#own].map(([id, { ca }]) => [id, ca.issuing]);
    return { root: this.#root, ...Object.fromEntries(own) };
  }

  /** Records a new one, in the transaction of whoever makes it, and tells the gateways by the feed. */
  async record(
    write: Write,
    row: Pick<IssuerRow, 'id' | 'name' | 'state' | 'certificate'>,
    key: KeyPlace | null,
  ) {
    const { feed, clock } = this.#parts;
    const whole: IssuerRow = {
      ...row,
      kind: 'own',
      fleet: null,
      mode: null,
      document: JSON.stringify(key === null ? {} : { key }),
      status_until_ms: null,
      crl_number: 0,
      created_ms: clock.now(),
    };
    await write.insertInto('issuers').values(whole).execute();
    return feed.append(write, { kind: 'issuer-changed', issuer: issuerOf(whole) });
  }

  /** Takes one in with its key, which is closed with the rest. */
  async admit(id: string, state: IssuerState, certificate: string, signer: Signer): Promise<void> {
    const { pkiBase } = this.#parts;
    const revocation = { crl: [`${pkiBase}/crl/${id}.crl`], ocsp: [`${pkiBase}/ocsp`] };
    const ca = await IssuingCa.open(
      { root: this.#root, issuing: certificate, signer },
      () => `${pkiBase}/ca/${id}.cer`,
      () => revocation,
    );
    this.#own.set(id, { ca, signer, state });
  }

  mark(id: string, state: IssuerState): void {
    const own = this.#own.get(id);
    if (own) own.state = state;
  }

  /** Trusted no longer. Its signer is for the caller to close. */
  release(id: string): Signer | undefined {
    const signer = this.#own.get(id)?.signer;
    this.#own.delete(id);
    return signer;
  }

  async #admitFirst(known: IssuerRow | undefined, { issuing, signer }: CaKeys): Promise<void> {
    const { writer, audit, feed } = this.#parts;
    await this.admit(firstIssuer, known?.state ?? 'preferred', issuing, signer);
    if (known?.certificate === issuing) return;
    const row = { id: firstIssuer, name: firstIssuer, state: 'preferred' as const, certificate: issuing };
    await writer.write(async (write) => {
      const detail = {
        before: known ? { state: known.state } : null,
        after: { state: known?.state ?? row.state },
      };
      if (!known) await this.record(write, row, null);
      else {
        // A certificate for the same key has been imported since.
        await write
          .updateTable('issuers')
          .set({ certificate: issuing })
          .where('id', '=', firstIssuer)
          .execute();
        const issuer = issuerOf({ ...known, certificate: issuing });
        await feed.append(write, { kind: 'issuer-changed', issuer });
      }
      const action = known ? 'issuer.renew' : 'issuer.add';
      await audit.append(write, { actor: 'system', action, target: firstIssuer, detail });
    });
  }

  async #reopen({ id, state, certificate, document }: IssuerRow): Promise<void> {
    const { key } = JSON.parse(document) as { key: KeyPlace };
    const signer = await this.#parts.keys.open(id, key);
    await this.admit(id, state, certificate, signer);
    if (this.find(id).certificate.publicKey.equals(signer.publicKey)) return;
    throw new Fault(
      'unavailable',
      `The key of the issuing CA ${id} is not the one of its certificate; restore the one that is.`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { signer } of this.#own.values()) await signer.close();
  }
}
