/**
 * Commands to devices: sent, looked up, taken back. One that was accepted is on disk, and stays until it was delivered or
 * its time is over; how it gets to its device is command-delivery.ts, what comes back command-replies.ts.
 */
import { randomBytes } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { CommandState } from '#common/contract/command.ts';
import type { Payload } from '#common/contract/command-payload.ts';
import type { DeviceState } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Metrics } from '#common/metrics.ts';
import type { CommandRow, Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { CommandOutcomes } from './command-outcomes.ts';
import { alter, nextRevision, withdrawAllOf } from './command-state.ts';
import {
  type CommandHead,
  type CommandSummary,
  type CommandView,
  offerOf,
  summaryOf,
  viewOf,
} from './command-view.ts';
import type { CommandWaits } from './command-waits.ts';
import type { Gateways } from './gateways.ts';

export interface CommandLimits {
  readonly maxCommandSize: number;
  readonly maxCommandsPerDevice: number;
  readonly maxCommandTtl: number;
  readonly maxCommandWait: number;
}

export interface CommandsParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  gateways: Gateways;
  outcomes: CommandOutcomes;
  waits: CommandWaits;
  metrics: Metrics;
  clock: Clock;
  limits: CommandLimits;
}

export interface CommandOrder {
  /** The same for the same order sent again. */
  readonly id: string;
  readonly device: DeviceId;
  readonly name: string;
  readonly payload: Payload;
  readonly ttlMs: number;
}

export interface CommandQuery {
  state?: CommandState;
  limit: number;
  /** Of the page before. */
  cursor?: string;
}

/** 128 bits: a device's reply names it, and nobody guesses another's. */
export const makeCommandId = (): string => randomBytes(16).toString('hex');

const heads = [
  'number',
  'id',
  'device',
  'name',
  'state',
  'content_type',
  'sender',
  'created_ms',
  'expires_ms',
  'attempts',
  'delivered_ms',
  'ended_ms',
  'reply_status',
  'reply_content_type',
  'revision',
] as const;

export class Commands {
  readonly #parts: CommandsParts;

  constructor(parts: CommandsParts) {
    this.#parts = parts;
  }

  /**
   * Resolves when it is on disk; an order that was taken before is not taken twice. Faults `not-found`, `device-revoked`,
   * `too-large`, `malformed`, `quota-exceeded` when as many wait for the device as may, `conflict` for an id in use.
   */
  async send(order: CommandOrder, actor: string): Promise<CommandSummary> {
    return summaryOf(await this.#send(order, actor));
  }

  /**
   * The same, then waits for the answer. Faults `command-unanswered` when the time is over (the command stands),
   * `command-expired`, `conflict` when it was withdrawn, `unavailable` when too many wait.
   */
  async sendAndWait(
    order: CommandOrder,
    waitMs: number,
    actor: string,
    gone: AbortSignal,
  ): Promise<CommandView> {
    const { waits, clock, limits } = this.#parts;
    if (waitMs > limits.maxCommandWait)
      throw new Fault('malformed', `A call waits at most ${limits.maxCommandWait} ms here.`);
    waits.mayBegin();
    const over = new AbortController();
    const ended = waits.begin(order.id, Math.min(waitMs, order.ttlMs), AbortSignal.any([gone, over.signal]));
    try {
      const sent = await this.#send(order, actor);
      const row = hasEnded(sent) ? sent : await ended;
      if (row?.state === 'replied') return viewOf(row);
      if (row?.state === 'withdrawn')
        throw new Fault('conflict', `The command ${order.id} was withdrawn.`, {
          fields: { commandId: order.id },
        });
      if (row?.state === 'expired' || waitMs >= order.ttlMs || clock.now() >= sent.expires_ms)
        throw expired(order.id);
      throw new Fault(
        'command-unanswered',
        `The device has not answered in time; the command ${order.id} stands until its time to live is over.`,
        { fields: { commandId: order.id } },
      );
    } finally {
      over.abort();
    }
  }

  async #send(order: CommandOrder, actor: string): Promise<CommandRow> {
    const { writer, gateways, metrics } = this.#parts;
    this.#judge(order);
    const { row, fresh, active } = await writer.write((write) => this.#record(write, order, actor));
    if (!fresh) return row;
    metrics.commandsTotal.inc({ result: 'sent' });
    metrics.commandsPending.inc();
    // Nothing is awaited in between: gateways hear of commands in the order of their numbers.
    if (active) gateways.offer(offerOf(row));
    return row;
  }

  #judge({ payload, ttlMs }: CommandOrder): void {
    const { maxCommandSize, maxCommandTtl } = this.#parts.limits;
    if (payload.bytes.length > maxCommandSize)
      throw new Fault('too-large', `The payload of a command has at most ${maxCommandSize} bytes here.`);
    if (ttlMs < 1 || ttlMs > maxCommandTtl)
      throw new Fault('malformed', `A command lives for 1 ms to ${maxCommandTtl} ms here.`);
  }

  async #record(write: Write, order: CommandOrder, actor: string) {
    const { audit, clock, limits } = this.#parts;
    const { id, device, name, payload, ttlMs } = order;
    const { known, state, waiting } = await standing(write, id, device);
    if (known) return { row: await sameOrder(write, order), fresh: false, active: false };
    judgeDevice(device, state);
    if (waiting >= limits.maxCommandsPerDevice)
      throw new Fault(
        'quota-exceeded',
        `As many commands as may, ${limits.maxCommandsPerDevice}, wait for ${device}; withdraw some, or wait.`,
      );
    const nowMs = clock.now();
    const row = await write
      .insertInto('commands')
      .values({
        id,
        device,
        name,
        payload: payload.bytes,
        content_type: payload.contentType,
        state: 'queued',
        sender: actor,
        created_ms: nowMs,
        expires_ms: nowMs + ttlMs,
        attempts: 0,
        revision: nextRevision,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    const { createdAt: _time, sender: _actor, ...after } = summaryOf(row);
    const detail = { device, before: null, after: { ...after, bytes: payload.bytes.length } };
    await audit.append(write, { actor, action: 'command.send', target: id, detail });
    return { row, fresh: true, active: state === 'active' };
  }

  /** Of a device, newest first. */
  async list(
    device: DeviceId,
    { state, limit, cursor }: CommandQuery,
  ): Promise<{ items: CommandSummary[]; nextCursor: string | null }> {
    const { read } = this.#parts;
    let query = read
      .selectFrom('commands')
      .select(heads)
      .where('device', '=', device)
      .orderBy('number', 'desc')
      .limit(limit + 1);
    if (state) query = query.where('state', '=', state);
    if (cursor) query = query.where('number', '<', Number(cursor) || 0);
    const rows: CommandHead[] = await query.execute();
    const items = rows.slice(0, limit);
    return {
      items: items.map(summaryOf),
      nextCursor: rows.length > limit ? String(items.at(-1)?.number) : null,
    };
  }

  /** Faults `not-found`, also for a command of another device. */
  async show(device: DeviceId, id: string): Promise<CommandView> {
    const row = await this.#parts.read
      .selectFrom('commands')
      .selectAll()
      .where('id', '=', id)
      .where('device', '=', device)
      .executeTakeFirst();
    if (!row) throw unknownCommand(device, id);
    return viewOf(row);
  }

  /** Takes one back that is not delivered. One that is on its way may arrive all the same: `attempts` says so. */
  async withdraw(device: DeviceId, id: string, actor: string): Promise<CommandSummary> {
    const { writer, audit, outcomes, metrics, clock } = this.#parts;
    const row = await writer.write(async (write) => {
      const before = await write
        .selectFrom('commands')
        .select('state')
        .where('id', '=', id)
        .where('device', '=', device)
        .executeTakeFirst();
      if (!before) throw unknownCommand(device, id);
      if (before.state !== 'queued')
        throw new Fault('conflict', `The command ${id} is ${before.state}; it cannot be withdrawn.`);
      const withdrawn = await alter(write, id, { state: 'withdrawn', ended_ms: clock.now() });
      const detail = { device, before: { state: before.state }, after: { state: withdrawn.state } };
      await audit.append(write, { actor, action: 'command.withdraw', target: id, detail });
      return withdrawn;
    });
    metrics.commandsPending.dec();
    outcomes.tell([row]);
    return summaryOf(row);
  }

  /** In the transaction that deletes the device; to be told after the commit by calling what is returned. */
  async withdrawAll(write: Write, device: DeviceId): Promise<() => void> {
    const { outcomes, metrics, clock } = this.#parts;
    const rows = await withdrawAllOf(write, device, clock.now());
    return () => {
      metrics.commandsPending.dec(rows.length);
      outcomes.tell(rows);
    };
  }
}

const hasEnded = ({ state }: CommandRow): boolean => state !== 'queued' && state !== 'delivered';

const expired = (id: string) =>
  new Fault('command-expired', `The command ${id} has run out before it was answered.`, {
    fields: { commandId: id },
  });

export const unknownCommand = (device: string, id: string) =>
  new Fault('not-found', `There is no command ${id} of ${device}.`);

/** The order that was taken before by this id. Faults `conflict` when it was another. */
async function sameOrder(write: Write, { id, device, name, payload }: CommandOrder): Promise<CommandRow> {
  const known = await write.selectFrom('commands').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  if (known.device === device && known.name === name && known.payload.equals(payload.bytes)) return known;
  throw new Fault('conflict', 'This Idempotency-Key was used for another command; take a new one.');
}

/** All that an order is judged by, in one question. */
async function standing(write: Write, id: string, device: DeviceId) {
  const { rows } = await sql<{ known: 0 | 1; state: DeviceState | null; waiting: number }>`
    SELECT EXISTS (SELECT 1 FROM commands WHERE id = ${id}) AS known,
      (SELECT state FROM devices WHERE id = ${device}) AS state,
      (SELECT count(*) FROM commands WHERE device = ${device} AND state = 'queued') AS waiting`.execute(
    write,
  );
  return rows[0]!;
}

function judgeDevice(device: DeviceId, state: DeviceState | null): void {
  if (state === null || state === 'deleted') throw new Fault('not-found', `There is no device ${device}.`);
  if (state === 'revoked')
    throw new Fault('device-revoked', `The device ${device} was revoked; it gets no commands.`);
}
