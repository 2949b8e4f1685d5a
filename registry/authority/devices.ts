/** Devices: found, shown, changed, and put out of service. Every change of state is one transaction, then a receipt. */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { ChangeKind } from '#common/contract/change.ts';
import type { DeviceState } from '#common/contract/directory.ts';
import type { MessageLimits } from '#common/contract/message-limits.ts';
import type { Receipt, SessionView } from '#common/contract/receipt.ts';
import type { Suspicion } from '#common/contract/suspicion.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import { type CertificateView, viewOfCertificate } from './certificates.ts';
import type { Registered } from './explanation.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import { limitsText } from './limits-text.ts';
import type { RevocationReason } from './revocation-reason.ts';
import { roleByAssignment } from './role-assignments.ts';

export interface DeviceView {
  readonly id: string;
  readonly fleet: string;
  readonly state: DeviceState;
  /** Its own; null when it acts in the one that is assigned by its attributes, or in that of its fleet. */
  readonly role: string | null;
  readonly assignedRole: string | null;
  readonly attributes: Record<string, string>;
  /** How much it may send; null for what its fleet and its role say. */
  readonly limits: MessageLimits | null;
  /** Why it is thought to be two; null when it is not. Enabling it ends that. */
  readonly suspicion: Suspicion | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface DeviceDetails extends DeviceView {
  readonly certificates: CertificateView[];
  readonly sessions: SessionView[];
}

export interface DeviceQuery {
  fleet?: string;
  state?: DeviceState;
  /** The beginning of the id. */
  q?: string;
  limit: number;
  /** The last id of the page before. */
  cursor?: string;
}

export interface DevicesParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  clock: Clock;
  /** In the transaction of a deletion, what waits for the device; what is returned is called after the commit. */
  withdrawCommands(write: Write, device: DeviceId): Promise<() => void>;
}

const viewOf = (row: Tables['devices']): DeviceView => ({
  id: row.id,
  fleet: row.fleet,
  state: row.state,
  role: row.role,
  assignedRole: row.assigned_role,
  attributes: JSON.parse(row.attributes),
  limits: row.limits === null ? null : JSON.parse(row.limits),
  suspicion: row.suspicion === null ? null : JSON.parse(row.suspicion),
  createdAt: timestamp(row.created_ms),
  updatedAt: timestamp(row.updated_ms),
});

export class Devices {
  readonly #parts: DevicesParts;

  constructor(parts: DevicesParts) {
    this.#parts = parts;
  }

  /** In the order of their ids. `nextCursor` is null on the last page. */
  async list({
    fleet,
    state,
    q,
    limit,
    cursor,
  }: DeviceQuery): Promise<{ items: DeviceView[]; nextCursor: string | null }> {
    let query = this.#parts.read
      .selectFrom('devices')
      .selectAll()
      .orderBy('id')
      .limit(limit + 1);
    query = state ? query.where('state', '=', state) : query.where('state', '!=', 'deleted');
    if (fleet) query = query.where('fleet', '=', fleet);
    if (cursor) query = query.where('id', '>', cursor);
    // A range, not LIKE: the index serves it, and no character of `q` is a wildcard.
    if (q) query = query.where('id', '>=', q).where('id', '<', `${q}\u{10ffff}`);
    const rows = await query.execute();
    const items = rows.slice(0, limit).map(viewOf);
    return { items, nextCursor: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  /** With its certificates, newest first, and its live sessions on every gateway. Faults `not-found`. */
  async show(id: DeviceId): Promise<DeviceDetails> {
    const { read, gateways } = this.#parts;
    const row = await read.selectFrom('devices').selectAll().where('id', '=', id).executeTakeFirst();
    if (!row || row.state === 'deleted') throw unknown(id);
    const certificates = await read
      .selectFrom('certificates')
      .selectAll()
      .where('device', '=', id)
      .orderBy('reserved_ms', 'desc')
      .execute();
    return {
      ...viewOf(row),
      certificates: certificates.map(viewOfCertificate),
      sessions: await gateways.sessions(id),
    };
  }

  /** Fleet and state; null when there is no such device. */
  async registered(id: DeviceId): Promise<Registered | null> {
    const { read } = this.#parts;
    const row = await read
      .selectFrom('devices')
      .select(['fleet', 'state'])
      .where('id', '=', id)
      .executeTakeFirst();
    return row && row.state !== 'deleted' ? row : null;
  }

  /**
   * Replaces what is given: attributes as a whole, with what roles are assigned by them; its own role, null for none.
   * Live sessions are judged anew.
   */
  async change(
    id: DeviceId,
    to: { attributes?: Record<string, string>; role?: string | null; limits?: MessageLimits | null },
    actor: string,
  ): Promise<Receipt> {
    return this.#alter(id, 'device-changed', actor, { action: 'device.change' }, async (write, { fleet }) => {
      if (
        to.role &&
        !(await write.selectFrom('roles').select('name').where('name', '=', to.role).executeTakeFirst())
      ) {
        throw new Fault('not-found', `There is no role ${to.role}.`);
      }
      const { attributes } = to;
      return {
        ...(attributes && {
          attributes: JSON.stringify(attributes),
          assigned_role: await roleByAssignment(write, { fleet, attributes }),
        }),
        ...(to.role !== undefined && { role: to.role }),
        ...(to.limits !== undefined && { limits: limitsText(to.limits) }),
      };
    });
  }

  disable(id: DeviceId, actor: string): Promise<Receipt> {
    return this.#alter(
      id,
      'device-disabled',
      actor,
      { action: 'device.disable' },
      async (_write, { state }) => {
        if (state === 'revoked') throw new Fault('conflict', `The device ${id} was revoked.`);
        return { state: 'disabled' };
      },
    );
  }

  enable(id: DeviceId, actor: string): Promise<Receipt> {
    return this.#alter(
      id,
      'device-enabled',
      actor,
      { action: 'device.enable' },
      async (_write, { state }) => {
        if (state === 'revoked')
          throw new Fault('conflict', `The device ${id} was revoked; that is for good.`);
        return { state: 'active', suspicion: null };
      },
    );
  }

  /** For good: the device and every certificate of it. Faults `malformed` for a hold, which is for certificates. */
  async revoke(id: DeviceId, reason: RevocationReason, actor: string): Promise<Receipt> {
    if (reason === 'certificateHold') throw holdOfDevice(id);
    const what = { action: 'device.revoke', detail: { reason }, reason };
    return this.#alter(id, 'device-revoked', actor, what, async (write) => {
      await this.#revokeCertificates(write, id, reason);
      return { state: 'revoked' };
    });
  }

  /** Revokes what is left of it and frees the id for a new enrollment; rows of certificates stay. */
  async remove(id: DeviceId, actor: string): Promise<Receipt> {
    let withdrawn = () => {};
    const what = { action: 'device.delete' };
    const receipt = await this.#alter(id, 'device-deleted', actor, what, async (write) => {
      await this.#revokeCertificates(write, id, 'cessationOfOperation');
      withdrawn = await this.#parts.withdrawCommands(write, id);
      return {
        state: 'deleted',
        role: null,
        assigned_role: null,
        attributes: '{}',
        limits: null,
        suspicion: null,
      };
    });
    withdrawn();
    return receipt;
  }

  async #revokeCertificates(write: Write, id: DeviceId, reason: RevocationReason): Promise<void> {
    await write
      .updateTable('certificates')
      .set({ state: 'revoked', revoked_ms: this.#parts.clock.now(), reason })
      .where('device', '=', id)
      .where('state', 'in', ['issued', 'held'])
      .execute();
  }

  async #alter(
    id: DeviceId,
    kind: ChangeKind,
    actor: string,
    what: { action: string; detail?: Record<string, unknown>; reason?: string },
    update: (write: Write, row: Tables['devices']) => Promise<Partial<Tables['devices']>>,
  ): Promise<Receipt> {
    const { writer, audit, feed, gateways, clock } = this.#parts;
    const change = await writer.write(async (write) => {
      const row = await write.selectFrom('devices').selectAll().where('id', '=', id).executeTakeFirst();
      if (!row || row.state === 'deleted') throw unknown(id);
      const before = await standing(write, row);
      const values = { ...(await update(write, row)), updated_ms: clock.now() };
      await write.updateTable('devices').set(values).where('id', '=', id).execute();
      const after = await standing(write, { ...row, ...values });
      const detail = { ...what.detail, before, after };
      await audit.append(write, { actor, action: what.action, target: id, detail });
      return feed.append(write, { kind, fleet: row.fleet, device: id, reason: what.reason });
    });
    return gateways.announce(change);
  }
}

/** A device as the audit tells of it, with its certificates by their state. */
async function standing(write: Write, row: Tables['devices']) {
  const { id, state, role, assigned_role, attributes, limits } = row;
  const rows = await write
    .selectFrom('certificates')
    .select(['fingerprint', 'state'])
    .where('device', '=', id)
    .where('fingerprint', 'is not', null)
    .execute();
  const certificates = Object.fromEntries(rows.map((row) => [row.fingerprint!, row.state]));
  return {
    state,
    role,
    assignedRole: assigned_role,
    attributes: JSON.parse(attributes),
    limits: limits && JSON.parse(limits),
    certificates,
  };
}

const holdOfDevice = (id: string) =>
  new Fault(
    'malformed',
    `A hold is for one certificate. To keep the device out for a while, disable it: "fleetgate devices disable ${id}".`,
  );

const unknown = (id: string) => new Fault('not-found', `There is no device ${id}.`);
