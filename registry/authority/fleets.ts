/** Fleets: a name, and the role that its devices act in unless they have one of their own. */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { FleetId } from '#common/identity.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';

export interface FleetView {
  readonly id: string;
  readonly role: string;
  readonly createdAt: string;
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
  createdAt: timestamp(row.created_ms),
});

export class Fleets {
  readonly #parts: FleetsParts;

  constructor(parts: FleetsParts) {
    this.#parts = parts;
  }

  /** Faults `conflict` when it exists, `not-found` when the role does not. */
  async create(id: FleetId, role: string, actor: string): Promise<FleetView> {
    const { writer, audit, feed, gateways, clock } = this.#parts;
    const row = { id, role, created_ms: clock.now() };
    const change = await writer.write(async (write) => {
      if (await write.selectFrom('fleets').select('id').where('id', '=', id).executeTakeFirst()) {
        throw new Fault('conflict', `The fleet ${id} exists already.`);
      }
      if (!(await write.selectFrom('roles').select('name').where('name', '=', role).executeTakeFirst())) {
        throw new Fault('not-found', `There is no role ${role}.`);
      }
      await write.insertInto('fleets').values(row).execute();
      await audit.append(write, { actor, action: 'fleet.create', target: id, detail: { role } });
      return feed.append(write, { kind: 'fleet-created', fleet: id });
    });
    gateways.announceLater(change);
    return viewOf(row);
  }

  async list(): Promise<FleetView[]> {
    const rows = await this.#parts.read.selectFrom('fleets').selectAll().orderBy('id').execute();
    return rows.map(viewOf);
  }

  /** With the count of its devices by state. Faults `not-found`. */
  async show(id: FleetId): Promise<FleetView & { devices: Record<string, number> }> {
    const { read } = this.#parts;
    const row = await read.selectFrom('fleets').selectAll().where('id', '=', id).executeTakeFirst();
    if (!row) throw new Fault('not-found', `There is no fleet ${id}.`);
    const counts = await read
      .selectFrom('devices')
      .select(({ fn }) => ['state', fn.countAll<number>().as('count')])
      .where('fleet', '=', id)
      .groupBy('state')
      .execute();
    return { ...viewOf(row), devices: Object.fromEntries(counts.map(({ state, count }) => [state, count])) };
  }
}
