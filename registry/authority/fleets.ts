/** Fleets: a name, the role of its devices unless they have one of their own, the profile of their certificates. */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { MessageLimits } from '#common/contract/message-limits.ts';
import { Fault } from '#common/fault.ts';
import type { FleetId } from '#common/identity.ts';
import { termsOf } from '../store/directory.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import { limitsText } from './limits-text.ts';

export interface FleetView {
  readonly id: string;
  readonly role: string;
  readonly profile: string;
  readonly approval: Approval;
  /** How long an expired certificate is still good for renewal, and one that is not yet valid. */
  readonly grace: string;
  readonly skew: string;
  /** How much its devices may send; null when nothing was said. */
  readonly limits: MessageLimits | null;
  readonly createdAt: string;
}

export const approvals = ['automatic', 'manual'] as const;
export type Approval = (typeof approvals)[number];

/** What can be set of a fleet. */
export interface FleetOrder {
  readonly role: string;
  readonly profile: string;
  readonly approval: Approval;
  readonly graceMs: number;
  readonly skewMs: number;
  readonly limits: MessageLimits | null;
}

export interface FleetsParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  clock: Clock;
}

const viewOf = (row: Tables['fleets']): FleetView => ({
  id: row.id,
  role: row.role,
  profile: row.profile,
  approval: row.approval as Approval,
  grace: `${row.grace_ms / 1000}s`,
  skew: `${row.skew_ms / 1000}s`,
  limits: row.limits === null ? null : JSON.parse(row.limits),
  createdAt: timestamp(row.created_ms),
});

export class Fleets {
  readonly #parts: FleetsParts;

  constructor(parts: FleetsParts) {
    this.#parts = parts;
  }

  /** Faults `conflict` when it exists, `not-found` when the role or the profile does not. */
  async create(id: FleetId, order: FleetOrder, actor: string): Promise<FleetView> {
    const { writer, audit, feed, gateways, clock } = this.#parts;
    const { role, profile, approval, graceMs, skewMs, limits } = order;
    const row = {
      ...{ id, role, profile, approval, created_ms: clock.now() },
      ...{ grace_ms: graceMs, skew_ms: skewMs, limits: limitsText(limits) },
    };
    const change = await writer.write(async (write) => {
      if (await write.selectFrom('fleets').select('id').where('id', '=', id).executeTakeFirst()) {
        throw new Fault('conflict', `The fleet ${id} exists already.`);
      }
      await judgeOrder(write, order);
      await write.insertInto('fleets').values(row).execute();
      await audit.append(write, {
        actor,
        action: 'fleet.create',
        target: id,
        detail: { before: null, after: viewOf(row) },
      });
      return feed.append(write, { kind: 'fleet-created', fleet: id, terms: termsOf(id, row) });
    });
    gateways.announceLater(change);
    return viewOf(row);
  }

  /** Replaces what is given. Devices of the fleet are judged by it at once. Faults `not-found`. */
  async change(id: FleetId, to: Partial<FleetOrder>, actor: string): Promise<FleetView> {
    const { writer, audit, feed, gateways } = this.#parts;
    const { row, changes } = await writer.write(async (write) => {
      const before = await write.selectFrom('fleets').selectAll().where('id', '=', id).executeTakeFirst();
      if (!before) throw unknown(id);
      await judgeOrder(write, to);
      const { graceMs = before.grace_ms, skewMs = before.skew_ms, limits } = to;
      const row = {
        ...before,
        role: to.role ?? before.role,
        profile: to.profile ?? before.profile,
        approval: to.approval ?? before.approval,
        grace_ms: graceMs,
        skew_ms: skewMs,
        limits: limits === undefined ? before.limits : limitsText(limits),
      };
      await write.updateTable('fleets').set(row).where('id', '=', id).execute();
      const detail = { before: viewOf(before), after: viewOf(row) };
      await audit.append(write, { actor, action: 'fleet.change', target: id, detail });
      const changes = [
        await feed.append(write, { kind: 'fleet-changed', fleet: id, terms: termsOf(id, row) }),
      ];
      // The entries of its devices carry the role: told in lots.
      if (row.role !== before.role) changes.push(...(await this.#tellDevices(write, id)));
      return { row, changes };
    });
    for (const change of changes) gateways.announceLater(change);
    return viewOf(row);
  }

  async #tellDevices(write: Write, id: FleetId): Promise<Change[]> {
    const rows = await write
      .selectFrom('certificates')
      .select('fingerprint')
      .where('fleet', '=', id)
      .where('fingerprint', 'is not', null)
      .where('state', '!=', 'revoked')
      .execute();
    const changes: Change[] = [];
    for (let at = 0; at < rows.length; at += lot) {
      const fingerprints = rows.slice(at, at + lot).map(({ fingerprint }) => fingerprint!);
      changes.push(await this.#parts.feed.append(write, { kind: 'device-changed', fleet: id, fingerprints }));
    }
    return changes;
  }

  /** What its devices are issued, and how. Faults `not-found`. */
  async terms(id: FleetId): Promise<{ profile: string; approval: Approval }> {
    const row = await this.#parts.read
      .selectFrom('fleets')
      .select(['profile', 'approval'])
      .where('id', '=', id)
      .executeTakeFirst();
    if (!row) throw unknown(id);
    return { profile: row.profile, approval: row.approval as Approval };
  }

  async list(): Promise<FleetView[]> {
    const rows = await this.#parts.read.selectFrom('fleets').selectAll().orderBy('id').execute();
    return rows.map(viewOf);
  }

  /** With the count of its devices by state. Faults `not-found`. */
  async show(id: FleetId): Promise<FleetView & { devices: Record<string, number> }> {
    const { read } = this.#parts;
    const row = await read.selectFrom('fleets').selectAll().where('id', '=', id).executeTakeFirst();
    if (!row) throw unknown(id);
    const counts = await read
      .selectFrom('devices')
      .select(({ fn }) => ['state', fn.countAll<number>().as('count')])
      .where('fleet', '=', id)
      .groupBy('state')
      .execute();
    return { ...viewOf(row), devices: Object.fromEntries(counts.map(({ state, count }) => [state, count])) };
  }
}

/** Entries of one change of the feed. */
const lot = 500;

const unknown = (id: string) => new Fault('not-found', `There is no fleet ${id}.`);

async function judgeOrder(write: Write, { role, profile }: Partial<FleetOrder>): Promise<void> {
  if (role !== undefined) {
    const known = await write.selectFrom('roles').select('name').where('name', '=', role).executeTakeFirst();
    if (!known) throw new Fault('not-found', `There is no role ${role}.`);
  }
  if (profile !== undefined) {
    const known = await write
      .selectFrom('profiles')
      .select('name')
      .where('name', '=', profile)
      .executeTakeFirst();
    if (!known) throw new Fault('not-found', `There is no profile ${profile}.`);
  }
}
