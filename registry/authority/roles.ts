/** Roles: the documents that grant. Checked when they are written, so that a gateway never meets one it cannot read. */
import type { Kysely } from 'kysely';
import type { RoleDocument } from '#common/contract/directory.ts';
import { defaultRoles } from '#common/contract/role-defaults.ts';
import { Fault } from '#common/fault.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import { checkRole } from './role-rules.ts';

export class Roles {
  readonly #read: Kysely<Tables>;
  readonly #writer: Writer;
  readonly #audit: Audit;
  readonly #feed: Feed;
  readonly #gateways: Gateways;

  constructor(parts: { read: Kysely<Tables>; writer: Writer; audit: Audit; feed: Feed; gateways: Gateways }) {
    this.#read = parts.read;
    this.#writer = parts.writer;
    this.#audit = parts.audit;
    this.#feed = parts.feed;
    this.#gateways = parts.gateways;
  }

  /** Puts in the default roles that are missing; what an operator has changed stays. */
  async seed(): Promise<void> {
    const known = new Set((await this.list()).map((role) => role.name));
    for (const role of defaultRoles) if (!known.has(role.name)) await this.put(role, 'system');
  }

  async list(): Promise<RoleDocument[]> {
    const rows = await this.#read.selectFrom('roles').select('document').orderBy('name').execute();
    return rows.map((row) => JSON.parse(row.document));
  }

  /** Faults `not-found`. */
  async show(name: string): Promise<RoleDocument> {
    const row = await this.#read
      .selectFrom('roles')
      .select('document')
      .where('name', '=', name)
      .executeTakeFirst();
    if (!row) throw new Fault('not-found', `There is no role ${name}.`);
    return JSON.parse(row.document);
  }

  /** Makes or replaces a role; gateways judge live sessions anew. Faults `malformed` with the rule that is wrong. */
  async put(role: RoleDocument, actor: string): Promise<RoleDocument> {
    checkRole(role);
    const document = JSON.stringify(role);
    const change = await this.#writer.write(async (write) => {
      const before = await write
        .selectFrom('roles')
        .select('document')
        .where('name', '=', role.name)
        .executeTakeFirst();
      await write
        .insertInto('roles')
        .values({ name: role.name, document })
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ document }))
        .execute();
      const detail = { before: before ? JSON.parse(before.document) : null, after: role };
      await this.#audit.append(write, { actor, action: 'role.put', target: role.name, detail });
      return this.#feed.append(write, { kind: 'role-changed', role });
    });
    await this.#gateways.announce(change);
    return role;
  }
}
