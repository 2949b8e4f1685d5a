/** The registry's own issuing CAs: which signs what is new, and which have signed what is out. One, until it is rolled over. */
import type { Kysely } from 'kysely';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import { issuerOf } from '../store/directory.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';

export interface IssuersParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  clock: Clock;
}

/** Id of the issuer that the first start makes. */
export const firstIssuer = 'issuing';

export class Issuers {
  readonly #parts: IssuersParts;
  readonly #own = new Map<string, IssuingCa>();
  #preferred = firstIssuer;

  constructor(parts: IssuersParts) {
    this.#parts = parts;
  }

  /** Takes one of our own in, with its key; the first time it is recorded and the gateways are told. */
  async admit(id: string, ca: IssuingCa): Promise<void> {
    const { read, writer, audit, feed, clock } = this.#parts;
    this.#own.set(id, ca);
    const known = await read.selectFrom('issuers').select('state').where('id', '=', id).executeTakeFirst();
    if (known) {
      if (known.state === 'preferred') this.#preferred = id;
      return;
    }
    const state = this.#own.size === 1 ? ('preferred' as const) : ('active' as const);
    const row: Tables['issuers'] = {
      id,
      kind: 'own',
      state,
      name: id,
      certificate: ca.issuing,
      fleet: null,
      mode: null,
      document: '{}',
      status_until_ms: null,
      crl_number: 0,
      created_ms: clock.now(),
    };
    await writer.write(async (write) => {
      await write.insertInto('issuers').values(row).execute();
      await audit.append(write, {
        actor: 'system',
        action: 'issuer.add',
        target: id,
        detail: { before: null, after: { state } },
      });
      await feed.append(write, { kind: 'issuer-changed', issuer: issuerOf(row) });
    });
    if (state === 'preferred') this.#preferred = id;
  }

  /** The one that signs what is new, with its id. */
  get preferred(): { readonly id: string; readonly ca: IssuingCa } {
    return { id: this.#preferred, ca: this.find(this.#preferred) };
  }

  /** Faults `not-found` for an issuer whose key is not here. */
  find(id: string): IssuingCa {
    const ca = this.#own.get(id);
    if (!ca) throw new Fault('not-found', `There is no issuer ${id} here.`);
    return ca;
  }

  /** Ids of those whose keys are here. */
  get ids(): readonly string[] {
    return [...this.#own.keys()];
  }
}
