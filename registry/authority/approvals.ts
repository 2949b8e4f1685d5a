/**
 * Enrollments that wait for an operator: put in when a fleet wants manual approval, decided once, issued when the device
 * asks again with the same CSR. How many may wait, and how long, is bounded.
 */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId, FleetId } from '#common/identity.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import { isOfClaim } from './claim-source.ts';
import type { EnrollmentRight } from './credential.ts';
import type { GiveBack } from './issuance.ts';
import { makeId } from './secret.ts';

export const enrollmentStates = ['pending', 'approved', 'denied', 'issued'] as const;
export type EnrollmentState = (typeof enrollmentStates)[number];

export interface EnrollmentView {
  readonly id: string;
  readonly fleet: string;
  readonly deviceId: string;
  readonly state: EnrollmentState;
  /** By what right it was asked for: `token:<id>`, `claim:<id>`, `anchor:<id>`. */
  readonly source: string;
  readonly attributes: Record<string, string>;
  /** SHA-256 of the CSR's DER, hex: to be compared with what the device shows. */
  readonly csrHash: string;
  readonly createdAt: string;
  /** When it is forgotten: if nobody has decided, or the device has not come back. Null when it is kept for good. */
  readonly expiresAt: string | null;
  readonly decidedAt: string | null;
  readonly decidedBy: string | null;
  readonly reason: string | null;
}

export interface EnrollmentQuery {
  state?: EnrollmentState;
  fleet?: string;
  limit: number;
  cursor?: string;
}

/** What is asked for. */
export interface EnrollmentAsk {
  readonly device: DeviceId;
  readonly fleet: FleetId;
  readonly attributes: Readonly<Record<string, string>>;
  /** DER, and its SHA-256 in hex. */
  readonly csr: Buffer;
  readonly csrHash: string;
}

export interface ApprovalsParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  clock: Clock;
  /** By the first word of a source. */
  giveBack: Readonly<Record<string, GiveBack>>;
  /** When a device that waits should ask again. */
  retryMs: number;
  /** How long one waits for its decision, and a decision for its device. */
  ttlMs: number;
  /** Most that wait at once. */
  most: number;
}

/** A request as it is kept. */
export type KeptEnrollment = Tables['enrollments'];

/** Rows that one sweep forgets in a transaction. */
const lot = 500;

export class Approvals {
  readonly #parts: ApprovalsParts;

  constructor(parts: ApprovalsParts) {
    this.#parts = parts;
  }

  /** What became of a device's request with this CSR; undefined when there is none. */
  async find(device: DeviceId, csrHash: string): Promise<KeptEnrollment | undefined> {
    const row = await this.#parts.read
      .selectFrom('enrollments')
      .selectAll()
      .where('device', '=', device)
      .where('csr_hash', '=', csrHash)
      .executeTakeFirst();
    return row && this.#endOf(row) > this.#parts.clock.now() ? row : undefined;
  }

  /** Oldest first. */
  async list(query: EnrollmentQuery): Promise<{ items: EnrollmentView[]; nextCursor: string | null }> {
    const { state, fleet, limit, cursor } = query;
    let select = this.#parts.read
      .selectFrom('enrollments')
      .selectAll()
      .orderBy('created_ms')
      .orderBy('id')
      .limit(limit + 1);
    if (state) select = select.where('state', '=', state);
    if (fleet) select = select.where('fleet', '=', fleet);
    if (cursor) {
      const [createdMs = '', id = ''] = cursor.split('.', 2);
      select = select.where(({ eb, refTuple, tuple }) =>
        eb(refTuple('created_ms', 'id'), '>', tuple(Number(createdMs), id)),
      );
    }
    const rows = await select.execute();
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    return {
      items: rows.slice(0, limit).map((row) => this.#viewOf(row)),
      nextCursor: last ? `${last.created_ms}.${last.id}` : null,
    };
  }

  /**
   * Puts a request in and spends the right; the fault `approval-pending` says when to ask again, and so it does when the
   * same CSR was put in meanwhile. Faults `quota-exceeded` when too many wait.
   */
  async putIn(ask: EnrollmentAsk, right: EnrollmentRight): Promise<Fault> {
    const { writer, audit, clock, most } = this.#parts;
    const id = await writer.write(async (write) => {
      await this.#forgetWaiting(write);
      const { device, fleet, csrHash } = ask;
      const known = await write
        .selectFrom('enrollments')
        .selectAll()
        .where('device', '=', device)
        .where('csr_hash', '=', csrHash)
        .executeTakeFirst();
      if (known && this.#endOf(known) <= clock.now()) await this.#drop(write, known);
      else if (known?.fleet === fleet) return known.id;
      else if (known)
        throw new Fault('conflict', `The fleet ${known.fleet} was asked for this device already.`);
      const { waiting } = await write
        .selectFrom('enrollments')
        .select(({ fn }) => fn.countAll<number>().as('waiting'))
        .where('state', '=', 'pending')
        .executeTakeFirstOrThrow();
      if (waiting >= most) throw this.#full(waiting);
      await right.spend(write, device);
      const row: KeptEnrollment = {
        id: makeId(),
        fleet,
        device,
        csr_hash: csrHash,
        csr: ask.csr,
        attributes: JSON.stringify(ask.attributes),
        source: right.source,
        state: 'pending',
        created_ms: clock.now(),
        decided_ms: null,
        decided_by: null,
        reason: null,
      };
      await write.insertInto('enrollments').values(row).execute();
      const after = { enrollment: row.id, fleet, source: right.source, csrHash, state: row.state };
      const detail = { before: null, after };
      await audit.append(write, {
        actor: right.actor,
        action: 'enrollment.request',
        target: device,
        detail,
      });
      return row.id;
    });
    return this.pending(id);
  }

  /** The answer to a device that waits. */
  pending(id: string, retryAfterMs: number = this.#parts.retryMs): Fault {
    const text = 'The enrollment waits for an operator; ask again later with the same CSR.';
    return new Fault('approval-pending', text, { retryAfterMs, fields: { enrollment: id } });
  }

  /** Faults `not-found`, and `conflict` when it was decided already or came too late. */
  approve(id: string, actor: string, reason: string | null): Promise<EnrollmentView> {
    return this.#decide(id, 'approved', actor, reason);
  }

  /** The use is given back. One that was approved can be denied until the device has come for it. Faults the same. */
  deny(id: string, actor: string, reason: string | null): Promise<EnrollmentView> {
    return this.#decide(id, 'denied', actor, reason);
  }

  /** Denies all that wait or are approved by one right, without giving uses back: the right itself is gone. */
  async denyAllOf(write: Write, source: string, actor: string, reason: string): Promise<void> {
    const decided = { decided_ms: this.#parts.clock.now(), decided_by: actor, reason };
    await write
      .updateTable('enrollments')
      .set({ state: 'denied', ...decided })
      .where('source', '=', source)
      .where('state', 'in', ['pending', 'approved'])
      .execute();
  }

  /** In the transaction that reserves: an approval is good once. */
  async take(write: Write, id: string): Promise<void> {
    const { numUpdatedRows } = await write
      .updateTable('enrollments')
      .set({ state: 'issued' })
      .where('id', '=', id)
      .where('state', '=', 'approved')
      .executeTakeFirst();
    // The same CSR twice at once: the other is being issued.
    if (numUpdatedRows === 0n) throw this.pending(id, 1_000);
  }

  /** When nothing came of it: approved it stays. */
  async giveBack(write: Write, id: string): Promise<void> {
    await write
      .updateTable('enrollments')
      .set({ state: 'approved' })
      .where('id', '=', id)
      .where('state', '=', 'issued')
      .execute();
  }

  /** Forgets what is too old, and gives back what was spent on it. Resolves with how many. */
  async sweep(): Promise<number> {
    for (let all = 0; ; ) {
      const forgotten = await this.#parts.writer.write(
        async (write) => (await this.#forgetWaiting(write)) + (await this.#forgetDecided(write)),
      );
      all += forgotten;
      if (forgotten < lot) return all;
    }
  }

  async #forgetWaiting(write: Write): Promise<number> {
    const old = await write
      .selectFrom('enrollments')
      .selectAll()
      .where('state', '=', 'pending')
      .where('created_ms', '<=', this.#parts.clock.now() - this.#parts.ttlMs)
      .limit(lot)
      .execute();
    for (const row of old) await this.#drop(write, row);
    return old.length;
  }

  /** What a claim was issued by approval is kept: it says what goes when the claim is revoked. */
  async #forgetDecided(write: Write): Promise<number> {
    const old = await write
      .selectFrom('enrollments')
      .selectAll()
      .where('state', 'in', ['approved', 'denied', 'issued'])
      .where('decided_ms', '<=', this.#parts.clock.now() - this.#parts.ttlMs)
      .where(({ eb, or }) => or([eb('state', '!=', 'issued'), eb('source', 'not like', 'claim:%')]))
      .limit(lot)
      .execute();
    for (const row of old) await this.#drop(write, row);
    return old.length;
  }

  async #drop(write: Write, { id, device, state, source }: KeptEnrollment): Promise<void> {
    await write.deleteFrom('enrollments').where('id', '=', id).execute();
    if (state !== 'pending' && state !== 'approved') return;
    await this.#giveUseBack(write, source);
    const detail = { enrollment: id, before: { state }, after: null };
    await this.#parts.audit.append(write, {
      actor: 'system',
      action: 'enrollment.expire',
      target: device,
      detail,
    });
  }

  async #decide(
    id: string,
    state: 'approved' | 'denied',
    actor: string,
    reason: string | null,
  ): Promise<EnrollmentView> {
    const { writer, audit, clock } = this.#parts;
    return writer.write(async (write) => {
      const before = await write
        .selectFrom('enrollments')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst();
      const nowMs = clock.now();
      if (!before || this.#endOf(before) <= nowMs)
        throw new Fault('not-found', `There is no enrollment ${id}; it may have waited too long.`);
      const open = before.state === 'pending' || (before.state === 'approved' && state === 'denied');
      if (!open) throw new Fault('conflict', `The enrollment ${id} is ${before.state} already.`);
      const row = { ...before, state, decided_ms: nowMs, decided_by: actor, reason };
      await write.updateTable('enrollments').set(row).where('id', '=', id).execute();
      if (state === 'denied') await this.#giveUseBack(write, before.source);
      const about = { enrollment: id, fleet: row.fleet, source: row.source, reason };
      const detail = { ...about, before: { state: before.state }, after: { state } };
      const action = state === 'approved' ? 'enrollment.approve' : 'enrollment.deny';
      await audit.append(write, { actor, action, target: row.device, detail });
      return this.#viewOf(row);
    });
  }

  async #giveUseBack(write: Write, source: string): Promise<void> {
    const [kind = '', id = ''] = source.split(':', 2);
    await this.#parts.giveBack[kind]?.(write, id);
  }

  #full(waiting: number): Fault {
    const text = `${waiting} enrollments wait for an operator already, as many as there may be; try again later.`;
    return new Fault('quota-exceeded', text, { retryAfterMs: this.#parts.retryMs });
  }

  #endOf({ created_ms, decided_ms, state, source }: KeptEnrollment): number {
    if (state === 'issued' && isOfClaim(source)) return Number.POSITIVE_INFINITY;
    return (decided_ms ?? created_ms) + this.#parts.ttlMs;
  }

  #viewOf(row: KeptEnrollment): EnrollmentView {
    const endMs = this.#endOf(row);
    return {
      id: row.id,
      fleet: row.fleet,
      deviceId: row.device,
      state: row.state,
      source: row.source,
      attributes: JSON.parse(row.attributes),
      csrHash: row.csr_hash,
      createdAt: timestamp(row.created_ms),
      expiresAt: Number.isFinite(endMs) ? timestamp(endMs) : null,
      decidedAt: row.decided_ms === null ? null : timestamp(row.decided_ms),
      decidedBy: row.decided_by,
      reason: row.reason,
    };
  }
}
