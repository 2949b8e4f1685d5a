/** Questions beforehand: what a device would be allowed, and who would lose what by a change of a role. It writes nothing. */
import { type Kysely, sql } from 'kysely';
import type { RoleDocument, RoleRule } from '#common/contract/directory.ts';
import type { MessageLimits } from '#common/contract/message-limits.ts';
import type { RoleSubject } from '#common/contract/role-match.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId, FleetId } from '#common/identity.ts';
import type { Tables } from '../store/tables.ts';
import { type PolicyAnswer, type PolicyQuestion, testPolicy } from './policy-test.ts';
import { assignedRole, assignmentOf } from './role-assignment.ts';
import { roleDifference } from './role-difference.ts';
import { checkRole } from './role-rules.ts';

/** Somebody who is there, or who could be. */
export type PolicySubject =
  | { readonly device: DeviceId }
  | {
      readonly fleet: FleetId;
      readonly attributes: Readonly<Record<string, string>>;
      readonly id?: DeviceId;
    };

export interface PolicyVerdict extends PolicyAnswer {
  readonly role: string;
  /** Where the role comes from. */
  readonly from: 'request' | 'device' | 'assignment' | 'fleet';
}

export interface RoleTerms {
  readonly severalSessions: boolean;
  readonly lastWord: boolean;
  readonly limits: MessageLimits | null;
}

export interface RolePreview {
  readonly role: string;
  /** Devices that act in the role, and those among them for whom something changes. */
  readonly devices: number;
  readonly changed: number;
  /** What holds for all of them; null before for a role that is new. */
  readonly before: RoleTerms | null;
  readonly after: RoleTerms;
  /** The first of those, by id, each with its own values in place of variables. */
  readonly first: readonly {
    readonly device: string;
    readonly lost: readonly RoleRule[];
    readonly gained: readonly RoleRule[];
  }[];
}

/** Devices that a preview names. */
export const mostPreviewed = 100;
const page = 500;

const termsOf = ({ severalSessions, lastWord = false, limits }: RoleDocument): RoleTerms => ({
  severalSessions,
  lastWord,
  limits: limits ?? null,
});

interface Actor {
  readonly subject: RoleSubject;
  readonly role: string;
  readonly from: PolicyVerdict['from'];
}

export class Policies {
  readonly #read: Kysely<Tables>;

  constructor(read: Kysely<Tables>) {
    this.#read = read;
  }

  /** `role` puts the one that it has aside. Faults `not-found` for a device, fleet or role that there is not. */
  async test(who: PolicySubject, question: PolicyQuestion, role: string | undefined): Promise<PolicyVerdict> {
    const actor = 'device' in who ? await this.#device(who.device) : await this.#somebody(who);
    const name = role ?? actor.role;
    const document = await this.#document(name);
    if (role !== undefined && document === null) throw new Fault('not-found', `There is no role ${role}.`);
    const from = role === undefined ? actor.from : 'request';
    return { ...testPolicy(document, actor.subject, question), role: name, from };
  }

  /** Who would lose or gain what if the role were this document. Faults `malformed` like writing it. */
  async preview(role: RoleDocument): Promise<RolePreview> {
    checkRole(role);
    const before = await this.#document(role.name);
    const first: RolePreview['first'][number][] = [];
    let devices = 0;
    let changed = 0;
    for (let from: string | null = ''; from !== null; ) {
      const rows = await this.#read
        .selectFrom('devices as d')
        .innerJoin('fleets as f', 'f.id', 'd.fleet')
        .select(['d.id', 'd.fleet', 'd.attributes', 'd.state'])
        .select(sql<string>`coalesce(d.role, d.assigned_role, f.role)`.as('role'))
        .where('d.id', '>', from)
        .orderBy('d.id')
        .limit(page)
        .execute();
      for (const row of rows) {
        if (row.role !== role.name || row.state === 'deleted') continue;
        devices += 1;
        const subject = { device: row.id, fleet: row.fleet, attributes: JSON.parse(row.attributes) };
        const { lost, gained } = roleDifference(before, role, subject);
        if (lost.length === 0 && gained.length === 0) continue;
        changed += 1;
        if (first.length < mostPreviewed) first.push({ device: row.id, lost, gained });
      }
      from = rows.at(page - 1)?.id ?? null;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const terms = { before: before && termsOf(before), after: termsOf(role) };
    return { role: role.name, devices, changed, ...terms, first };
  }

  async #device(id: DeviceId): Promise<Actor> {
    const row = await this.#read
      .selectFrom('devices as d')
      .innerJoin('fleets as f', 'f.id', 'd.fleet')
      .select(['d.fleet', 'd.attributes', 'd.state', 'd.role', 'd.assigned_role', 'f.role as fleet_role'])
      .where('d.id', '=', id)
      .executeTakeFirst();
    if (!row || row.state === 'deleted') throw new Fault('not-found', `There is no device ${id}.`);
    const subject = { device: id, fleet: row.fleet, attributes: JSON.parse(row.attributes) };
    if (row.role !== null) return { subject, role: row.role, from: 'device' };
    if (row.assigned_role !== null) return { subject, role: row.assigned_role, from: 'assignment' };
    return { subject, role: row.fleet_role, from: 'fleet' };
  }

  async #somebody({ fleet, attributes, id }: Exclude<PolicySubject, { device: DeviceId }>): Promise<Actor> {
    const row = await this.#read
      .selectFrom('fleets')
      .select('role')
      .where('id', '=', fleet)
      .executeTakeFirst();
    if (!row) throw new Fault('not-found', `There is no fleet ${fleet}.`);
    const subject = { device: id ?? '', fleet, attributes };
    const rows = await this.#read.selectFrom('role_assignments').selectAll().execute();
    const assigned = assignedRole(rows.map(assignmentOf), subject);
    return assigned === null
      ? { subject, role: row.role, from: 'fleet' }
      : { subject, role: assigned, from: 'assignment' };
  }

  async #document(name: string): Promise<RoleDocument | null> {
    const row = await this.#read
      .selectFrom('roles')
      .select('document')
      .where('name', '=', name)
      .executeTakeFirst();
    return row ? JSON.parse(row.document) : null;
  }
}
