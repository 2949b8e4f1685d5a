/**
 * The rollover of the issuing CA: a further one is made, preferred, the old one drained and at last removed. One at a time;
 * each is a row of the tables, and whatever a crash leaves beside it counts for nothing.
 */
import type { KeyObject, X509Certificate } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { IssuerState } from '#common/contract/directory.ts';
import type { Receipt } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { IssuerKeys, KeyPlace, PendingIssuer } from '../ca/issuer-keys.ts';
import type { CaKeyType } from '../ca/key-type.ts';
import type { Signer } from '../ca/signer.ts';
import { issuerOf } from '../store/directory.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import type { IssuerCensus } from './issuer-census.ts';
import type { Issuers } from './issuers.ts';

/** Steps of making one, for the fault injection of the tests. */
export const rolloverSteps = [
  'make-issuer-key',
  'certify-issuer',
  'record-issuer',
  'publish-issuer',
] as const;
export type RolloverStep = (typeof rolloverSteps)[number];

export interface IssuerOrder {
  /** A word for people; its id when absent. */
  readonly name?: string;
  /** As `ca.keyType` says when absent; a key in a token is what it is. */
  readonly keyType?: CaKeyType;
  readonly signer?: KeyPlace;
}

export interface IssuerRolloverParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  issuers: Issuers;
  census: IssuerCensus;
  keys: IssuerKeys;
  clock: Clock;
  /** Told before each step. */
  observe: (step: RolloverStep) => void;
}

type Draft = Omit<PendingIssuer, 'csr' | 'createdMs'>;

export class IssuerRollover {
  readonly #parts: IssuerRolloverParts;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: IssuerRolloverParts) {
    this.#parts = parts;
  }

  /**
   * Makes a key, and a certificate when the root's key is here; else the issuer waits for its certificate. Gives its id.
   * Faults `unavailable` when a key cannot be opened, `malformed` when it is not said where the key is to be.
   */
  add(order: IssuerOrder, actor: string): Promise<string> {
    return this.#inTurn(async () => {
      const { keys, observe } = this.#parts;
      const id = await this.#nextId();
      const draft: Draft = { id, name: order.name ?? id, key: order.signer ?? keys.defaultPlace() };
      observe('make-issuer-key');
      const signer = await keys.make(id, draft.key, order.keyType);
      try {
        observe('certify-issuer');
        const certificate = await keys.certify(signer.publicKey);
        observe('record-issuer');
        if (certificate === undefined) await this.#wait(draft, signer, actor);
        else await this.#record(draft, certificate, signer, actor);
      } catch (thrown) {
        await signer.close();
        if (!this.#parts.issuers.ids.includes(id)) await keys.setAside(id);
        throw thrown;
      }
      return id;
    });
  }

  /** Installs the certificate of one that waits. Faults `malformed` with every objection, `not-found`, `conflict`. */
  import(id: string, issuing: X509Certificate, actor: string): Promise<void> {
    return this.#inTurn(async () => {
      const { keys } = this.#parts;
      const pending = (await keys.pending()).find((each) => each.id === id);
      if (!pending) throw new Fault('conflict', `The issuer ${id} does not wait for a certificate.`);
      const signer = await keys.open(id, pending.key);
      try {
        const certificate = await keys.accept(issuing, signer.publicKey);
        await this.#record(pending, certificate, signer, actor);
      } catch (thrown) {
        await signer.close();
        throw thrown;
      }
      await keys.forgetRequest(id);
    });
  }

  /** What is new is signed by it from now on. Faults `not-found`, `conflict`. */
  prefer(id: string, actor: string): Promise<void> {
    return this.#inTurn(async () => {
      const { issuers, clock } = this.#parts;
      const ca = await this.#known(id);
      if (issuers.stateOf(id) === 'preferred') return;
      if (ca.notAfterMs <= clock.now())
        throw new Fault('conflict', `The certificate of the issuer ${id} has expired; add another.`);
      const { id: former } = issuers.preferred;
      await this.#change({ [former]: 'active', [id]: 'preferred' }, 'issuer.prefer', id, actor);
    });
  }

  /** It signs nothing more; what it has signed stays good. Faults `not-found`, `conflict` for the preferred one. */
  drain(id: string, actor: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#known(id);
      this.#judgeNotPreferred(id, 'drained');
      if (this.#parts.issuers.stateOf(id) !== 'draining')
        await this.#change({ [id]: 'draining' }, 'issuer.drain', id, actor);
    });
  }

  /**
   * It is trusted no longer, and the sessions of its certificates are ended. Faults `conflict` for the preferred one, and
   * with the number of live certificates unless it is forced.
   */
  remove(id: string, { force }: { force: boolean }, actor: string): Promise<Receipt> {
    return this.#inTurn(async () => {
      const { issuers, keys, gateways, census } = this.#parts;
      if (await this.#withdraw(id, actor)) return nothingEnded;
      await this.#known(id);
      this.#judgeNotPreferred(id, 'removed');
      const before = issuers.stateOf(id)!;
      // Nothing new is signed by it while its certificates are counted.
      issuers.mark(id, 'draining');
      let change: Change | undefined;
      try {
        const live = await census.live(id);
        if (live > 0 && !force) throw stillLive(id, live);
        const facts = { certificates: live };
        [change] = await this.#change({ [id]: 'removed' }, 'issuer.remove', id, actor, facts);
      } catch (thrown) {
        issuers.mark(id, before);
        throw thrown;
      }
      const signer = issuers.release(id);
      const receipt = await gateways.announce(change!);
      await signer?.close();
      await keys.setAside(id);
      await keys.publish(issuers.trust);
      return receipt;
    });
  }

  async #wait(draft: Draft, signer: Signer, actor: string): Promise<void> {
    const { keys, writer, audit } = this.#parts;
    await keys.request(draft, signer);
    await signer.close();
    const detail = { before: null, after: { state: 'pending', key: draft.key } };
    await writer.write((write) =>
      audit.append(write, { actor, action: 'issuer.request', target: draft.id, detail }),
    );
  }

  /** From here on it is there: the row is what counts. */
  async #record({ id, name, key }: Draft, certificate: string, signer: Signer, actor: string): Promise<void> {
    const { writer, audit, issuers, keys, gateways, observe } = this.#parts;
    await this.#judgeNewcomer(signer.publicKey);
    const change = await writer.write(async (write) => {
      const detail = { before: null, after: { state: 'active', key } };
      await audit.append(write, { actor, action: 'issuer.add', target: id, detail });
      return issuers.record(write, { id, name, state: 'active', certificate }, key);
    });
    await issuers.admit(id, 'active', certificate, signer);
    observe('publish-issuer');
    await keys.publish(issuers.trust);
    gateways.announceLater(change);
  }

  /** One key under two ids would be one issuer with two lists of what it has revoked. */
  async #judgeNewcomer(publicKey: KeyObject): Promise<void> {
    const { issuers } = this.#parts;
    const twin = issuers.ids.find((id) => issuers.find(id).certificate.publicKey.equals(publicKey));
    if (twin !== undefined)
      throw new Fault('conflict', `This is the key of the issuer ${twin}; make another.`);
  }

  /** One that waits has signed nothing: it goes without further ado. */
  async #withdraw(id: string, actor: string): Promise<boolean> {
    const { keys, writer, audit } = this.#parts;
    if (!(await keys.pending()).some((each) => each.id === id)) return false;
    await keys.setAside(id);
    const detail = { before: { state: 'pending' }, after: { state: 'removed' } };
    await writer.write((write) =>
      audit.append(write, { actor, action: 'issuer.remove', target: id, detail }),
    );
    return true;
  }

  /**
   * Writes new states down, all or none, and tells the gateways of them; of a removal its caller does. They hold from the
   * moment they are being written: no certificate is reserved behind their back.
   */
  async #change(
    states: Readonly<Record<string, IssuerState>>,
    action: string,
    target: string,
    actor: string,
    facts: object = {},
  ): Promise<Change[]> {
    const { writer, audit, feed, issuers, gateways } = this.#parts;
    const held = Object.keys(states).map((id) => [id, issuers.stateOf(id)!] as const);
    const mark = (all: Iterable<readonly [string, IssuerState]>) => {
      for (const [id, state] of all) issuers.mark(id, state);
    };
    try {
      const changes = await writer.write(async (write) => {
        const rows = await write
          .selectFrom('issuers')
          .selectAll()
          .where('id', 'in', Object.keys(states))
          .execute();
        const all: Change[] = [];
        for (const row of rows) {
          const state = states[row.id]!;
          await write.updateTable('issuers').set({ state }).where('id', '=', row.id).execute();
          all.push(await feed.append(write, { kind: 'issuer-changed', issuer: issuerOf({ ...row, state }) }));
        }
        const before = Object.fromEntries(rows.map(({ id, state }) => [id, state]));
        await audit.append(write, { actor, action, target, detail: { before, after: states, ...facts } });
        mark(Object.entries(states));
        return all;
      });
      if (states[target] !== 'removed') for (const change of changes) gateways.announceLater(change);
      return changes;
    } catch (thrown) {
      mark(held);
      throw thrown;
    }
  }

  async #known(id: string) {
    const { issuers, read, keys } = this.#parts;
    if (issuers.ids.includes(id)) return issuers.find(id);
    if ((await keys.pending()).some((each) => each.id === id))
      throw new Fault('conflict', `The issuer ${id} waits for its certificate; import it first.`);
    const row = await read.selectFrom('issuers').select('kind').where('id', '=', id).executeTakeFirst();
    if (row?.kind === 'own') throw new Fault('conflict', `The issuer ${id} was removed.`);
    throw new Fault('not-found', `There is no issuer ${id}.`);
  }

  #judgeNotPreferred(id: string, what: string): void {
    if (this.#parts.issuers.stateOf(id) !== 'preferred') return;
    throw new Fault(
      'conflict',
      `The issuer ${id} signs what is new and cannot be ${what}; prefer another first.`,
    );
  }

  /** Numbers go on, whatever has become of those before. */
  async #nextId(): Promise<string> {
    const { read, keys } = this.#parts;
    const rows = await read.selectFrom('issuers').select('id').execute();
    const numbers = [...rows.map(({ id }) => id), ...(await keys.ids())].map((id) =>
      Number(/^issuing-(\d{1,9})$/.exec(id)?.[1] ?? 1),
    );
    return `issuing-${Math.max(1, ...numbers) + 1}`;
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(run);
    this.#turn = mine.catch(() => {});
    return mine;
  }
}

const nothingEnded: Receipt = { changeId: 0, certificates: [], sessions: [], complete: true };

const stillLive = (id: string, live: number) =>
  new Fault(
    'conflict',
    `${live} live ${live === 1 ? 'certificate is' : 'certificates are'} of the issuer ${id}; wait until they are renewed, see who would lose access with dryRun, or force it.`,
    { fields: { certificates: live } },
  );
