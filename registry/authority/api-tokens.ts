/** API tokens: who may call the registry, and as what. Kept as hashes, found by hash. */
import { existsSync } from 'node:fs';
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { RoleDocument } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import { writeDurably } from '../ca/ca-keys.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import { hashSecret, makeId, makeSecret } from './secret.ts';

export const apiRoles = ['viewer', 'enroller', 'operator', 'admin'] as const;
export type ApiRole = (typeof apiRoles)[number];

export interface ApiTokenView {
  readonly id: string;
  readonly name: string;
  readonly role: ApiRole;
  readonly createdAt: string;
  readonly revoked: boolean;
}

/** Who is calling: `actor` goes into the audit. */
export interface Caller {
  readonly actor: string;
  /** `document`: what the http rules of a role document grant. */
  readonly role: ApiRole | 'gateway' | 'document';
  readonly document?: RoleDocument;
}

const viewOf = (row: Tables['api_tokens']): ApiTokenView => ({
  id: row.id,
  name: row.name,
  role: row.role as ApiRole,
  createdAt: timestamp(row.created_ms),
  revoked: row.revoked === 1,
});

export class ApiTokens {
  readonly #read: Kysely<Tables>;
  readonly #writer: Writer;
  readonly #audit: Audit;
  readonly #clock: Clock;

  constructor(parts: { read: Kysely<Tables>; writer: Writer; audit: Audit; clock: Clock }) {
    this.#read = parts.read;
    this.#writer = parts.writer;
    this.#audit = parts.audit;
    this.#clock = parts.clock;
  }

  /** Makes the first admin token into a file, once; an existing file is left as it is. */
  async seed(file: string): Promise<void> {
    if (existsSync(file)) return;
    const { token } = await this.create('admin', 'admin', 'system');
    await writeDurably(file, `${token}\n`);
  }

  async create(name: string, role: ApiRole, actor: string): Promise<ApiTokenView & { token: string }> {
    const token = makeSecret('fga');
    const row = {
      id: makeId(),
      hash: hashSecret(token),
      name,
      role,
      created_ms: this.#clock.now(),
      revoked: 0,
    };
    await this.#writer.write(async (write) => {
      await write.insertInto('api_tokens').values(row).execute();
      await this.#audit.append(write, {
        actor,
        action: 'api-token.create',
        target: row.id,
        detail: { before: null, after: viewOf(row) },
      });
    });
    return { ...viewOf(row), token };
  }

  async list(): Promise<ApiTokenView[]> {
    return (await this.#read.selectFrom('api_tokens').selectAll().orderBy('created_ms').execute()).map(
      viewOf,
    );
  }

  async revoke(id: string, actor: string): Promise<void> {
    await this.#writer.write(async (write) => {
      const row = await write.selectFrom('api_tokens').selectAll().where('id', '=', id).executeTakeFirst();
      if (!row) throw new Fault('not-found', `There is no API token ${id}.`);
      await write.updateTable('api_tokens').set({ revoked: 1 }).where('id', '=', id).execute();
      const detail = { before: viewOf(row), after: viewOf({ ...row, revoked: 1 }) };
      await this.#audit.append(write, { actor, action: 'api-token.revoke', target: id, detail });
    });
  }

  /** Faults `unauthenticated`. */
  async identify(secret: string): Promise<Caller> {
    const row = await this.#read
      .selectFrom('api_tokens')
      .selectAll()
      .where('hash', '=', hashSecret(secret))
      .executeTakeFirst();
    if (!row || row.revoked)
      throw new Fault('unauthenticated', 'This API token is not known here, or was revoked.');
    return { actor: `api:${row.name}`, role: row.role as ApiRole };
  }
}
