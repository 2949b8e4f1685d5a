/**
 * The assignments of roles by attributes, and the devices brought in line with them: in lots, each a transaction with its
 * change of the feed. What a crash cut short is finished at the next start.
 */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import { Fault } from '#common/fault.ts';
import type { FleetId } from '#common/identity.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import { listed } from './bulk-target.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import {
  type Assignee,
  type AttributeMatch,
  assignedRole,
  assignmentOf,
  type RoleAssignment,
} from './role-assignment.ts';
import { makeId } from './secret.ts';

export interface AssignmentOrder {
  /** Null for every fleet. */
  readonly fleet: FleetId | null;
  readonly match: AttributeMatch;
  readonly role: string;
}

export interface AssignmentView extends AssignmentOrder {
  readonly id: string;
  readonly createdAt: string;
}

export interface RoleAssignmentsParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  clock: Clock;
}

/** Every enrollment and every change of attributes looks through all of them. */
export const mostAssignments = 200;
/** Devices of one transaction, and of one page of a search. */
const lotSize = 200;
/** Entries of one change of the feed. */
const mostEntries = 500;

const viewOf = (row: Tables['role_assignments']): AssignmentView => {
  const { id, match, role, createdMs } = assignmentOf(row);
  return { id, fleet: row.fleet as FleetId | null, match, role, createdAt: timestamp(createdMs) };
};

/** The role of a device that comes to be, or whose attributes change, in the transaction of that. */
export async function roleByAssignment(write: Write, device: Assignee): Promise<string | null> {
  const rows = await write.selectFrom('role_assignments').selectAll().execute();
  return assignedRole(rows.map(assignmentOf), device);
}

export class RoleAssignments {
  readonly #parts: RoleAssignmentsParts;

  constructor(parts: RoleAssignmentsParts) {
    this.#parts = parts;
  }

  /** The older first. */
  async list(): Promise<AssignmentView[]> {
    const rows = await this.#parts.read
      .selectFrom('role_assignments')
      .selectAll()
      .orderBy('created_ms')
      .orderBy('id')
      .execute();
    return rows.map(viewOf);
  }

  /**
   * Answers when every device that matches acts in the role; `devices` are those whose role by assignment changed.
   * Faults `not-found` for role or fleet, `quota-exceeded`.
   */
  async create(order: AssignmentOrder, actor: string): Promise<AssignmentView & { devices: number }> {
    const { writer, audit, clock } = this.#parts;
    const { fleet, match, role } = order;
    const row = { id: makeId(), fleet, match: JSON.stringify(match), role, created_ms: clock.now() };
    await writer.write(async (write) => {
      await judge(write, order);
      await write.insertInto('role_assignments').values(row).execute();
      const detail = { before: null, after: viewOf(row) };
      await audit.append(write, { actor, action: 'role-assignment.create', target: row.id, detail });
    });
    return { ...viewOf(row), devices: await this.settle() };
  }

  /** Devices fall back to what other assignments give them, or to the role of their fleet. Faults `not-found`. */
  async remove(id: string, actor: string): Promise<{ devices: number }> {
    const { writer, audit } = this.#parts;
    await writer.write(async (write) => {
      const row = await write
        .deleteFrom('role_assignments')
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirst();
      if (!row) throw new Fault('not-found', `There is no role assignment ${id}.`);
      const detail = { before: viewOf(row), after: null };
      await audit.append(write, { actor, action: 'role-assignment.delete', target: id, detail });
    });
    return { devices: await this.settle() };
  }

  /**
   * Goes through the devices and brings those in line that are not; how many that were. The loop has a turn between
   * two lots.
   */
  async settle(stop?: AbortSignal): Promise<number> {
    const { read, writer, gateways } = this.#parts;
    let settled = 0;
    for (let from: string | null = ''; from !== null && !stop?.aborted; ) {
      const assignments = (await read.selectFrom('role_assignments').selectAll().execute()).map(assignmentOf);
      const rows = await read
        .selectFrom('devices')
        .select(['id', 'fleet', 'attributes', 'assigned_role'])
        .where('id', '>', from)
        .orderBy('id')
        .limit(lotSize)
        .execute();
      const astray = rows.filter((row) => roleOf(assignments, row) !== row.assigned_role);
      if (astray.length > 0) {
        const ids = astray.map(({ id }) => id);
        const changes = await writer.write((write) => this.#settleLot(write, ids));
        for (const change of changes) gateways.announceLater(change);
        settled += ids.length;
      }
      from = rows.at(lotSize - 1)?.id ?? null;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return settled;
  }

  /** As they are now: attributes or assignments may have changed since they were looked at. */
  async #settleLot(write: Write, ids: readonly string[]): Promise<Change[]> {
    const { feed } = this.#parts;
    const assignments = (await write.selectFrom('role_assignments').selectAll().execute()).map(assignmentOf);
    const rows = await write
      .selectFrom('devices')
      .select(['id', 'fleet', 'attributes'])
      .where('id', 'in', listed(ids))
      .execute();
    const byRole = Map.groupBy(rows, (row) => roleOf(assignments, row));
    for (const [role, devices] of byRole) {
      await write
        .updateTable('devices')
        .set({ assigned_role: role })
        .where('id', 'in', listed(devices.map(({ id }) => id)))
        .execute();
    }
    const certificates = await write
      .selectFrom('certificates')
      .select('fingerprint')
      .where('device', 'in', listed(ids))
      .where('state', 'in', ['issued', 'held'])
      .execute();
    const fingerprints = certificates.map(({ fingerprint }) => fingerprint!);
    const changes: Change[] = [];
    for (let at = 0; at < fingerprints.length; at += mostEntries) {
      const some = fingerprints.slice(at, at + mostEntries);
      changes.push(await feed.append(write, { kind: 'device-changed', fingerprints: some }));
    }
    return changes;
  }
}

/** Attributes are read only when an assignment asks for them: there may be a million devices, and no assignment. */
const roleOf = (
  assignments: readonly RoleAssignment[],
  { fleet, attributes }: { fleet: string; attributes: string },
): string | null =>
  assignments.length === 0 ? null : assignedRole(assignments, { fleet, attributes: JSON.parse(attributes) });

async function judge(write: Write, { fleet, role }: AssignmentOrder): Promise<void> {
  if (!(await write.selectFrom('roles').select('name').where('name', '=', role).executeTakeFirst()))
    throw new Fault('not-found', `There is no role ${role}.`);
  if (
    fleet !== null &&
    !(await write.selectFrom('fleets').select('id').where('id', '=', fleet).executeTakeFirst())
  )
    throw new Fault('not-found', `There is no fleet ${fleet}.`);
  const { count } = await write
    .selectFrom('role_assignments')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  if (count >= mostAssignments)
    throw new Fault(
      'quota-exceeded',
      `There are ${mostAssignments} role assignments, the most there may be.`,
    );
}
