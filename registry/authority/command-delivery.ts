/**
 * The queue as gateways see it: what waits for a device, and their reports of what was handed over and acknowledged. A
 * device that is not active gets nothing; its commands stay until their time is over.
 */
import { type Kysely, sql } from 'kysely';
import type { Clock } from '#common/clock.ts';
import {
  type CommandProgress,
  type CommandsAnswer,
  type CommandsAsk,
  isCommandId,
  mostCommandDevices,
  mostCommandReports,
  mostCommands,
} from '#common/contract/command.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Metrics } from '#common/metrics.ts';
import type { CommandRow, Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { CommandOutcomes } from './command-outcomes.ts';
import { nextRevision } from './command-state.ts';
import { offerOf } from './command-view.ts';

export interface CommandDeliveryParts {
  read: Kysely<Tables>;
  writer: Writer;
  outcomes: CommandOutcomes;
  metrics: Metrics;
  clock: Clock;
}

export class CommandDelivery {
  readonly #parts: CommandDeliveryParts;

  constructor(parts: CommandDeliveryParts) {
    this.#parts = parts;
  }

  /** Oldest first. Faults `malformed`. */
  async waitingFor({ device, after, limit }: CommandsAsk): Promise<CommandsAnswer> {
    if (typeof device !== 'string' || !Number.isSafeInteger(after) || !(limit >= 1 && limit <= mostCommands))
      throw new Fault('malformed', `A question names device, after, and a limit of 1 to ${mostCommands}.`);
    const rows = await this.#parts.read
      .selectFrom('commands as c')
      .innerJoin('devices as d', 'd.id', 'c.device')
      .selectAll('c')
      .where('c.device', '=', device)
      .where('c.state', '=', 'queued')
      .where('c.number', '>', after)
      .where('c.expires_ms', '>', this.#parts.clock.now())
      .where('d.state', '=', 'active')
      .orderBy('c.number')
      .limit(limit + 1)
      .execute();
    return { commands: rows.slice(0, limit).map(offerOf), more: rows.length > limit };
  }

  /** Those of the devices for which something waits. Faults `malformed`. */
  async whoHasSome(devices: readonly DeviceId[]): Promise<{ devices: DeviceId[] }> {
    if (!Array.isArray(devices) || devices.length > mostCommandDevices)
      throw new Fault('malformed', `A question names at most ${mostCommandDevices} devices.`);
    const { rows } = await sql<{ device: DeviceId }>`
      SELECT value AS device FROM json_each(${JSON.stringify(devices)}) WHERE EXISTS (
        SELECT 1 FROM commands c WHERE c.device = value AND c.state = 'queued' AND c.expires_ms > ${this.#parts.clock.now()}
      )`.execute(this.#parts.read);
    return { devices: rows.map(({ device }) => device) };
  }

  /** A report of a gateway, in one transaction; told twice it does no harm but to `attempts`. Faults `malformed`. */
  async report(progress: readonly CommandProgress[]): Promise<null> {
    if (!isReport(progress))
      throw new Fault(
        'malformed',
        `A report has at most ${mostCommandReports} commands, each with its device.`,
      );
    const { writer, outcomes, metrics } = this.#parts;
    const delivered = await writer.write(async (write) => {
      const rows: CommandRow[] = [];
      for (const each of progress) {
        const row = await this.#record(write, each);
        if (row) rows.push(row);
      }
      return rows;
    });
    metrics.commandsPending.dec(delivered.length);
    outcomes.tell(delivered);
    return null;
  }

  /** The command if it is delivered now and was not before. */
  async #record(
    write: Write,
    { id, device, handed, deliveredMs }: CommandProgress,
  ): Promise<CommandRow | undefined> {
    const ofDevice = write.updateTable('commands').where('id', '=', id).where('device', '=', device);
    const counted = ofDevice.set(({ eb }) => ({ attempts: eb('attempts', '+', handed) }));
    // Neither before it was sent nor ahead of our clock, whatever the gateway's says.
    const atMs = sql<number>`max(created_ms, ${Math.min(deliveredMs ?? 0, this.#parts.clock.now())})`;
    const row =
      deliveredMs === null
        ? undefined
        : await counted
            .set({ state: 'delivered', delivered_ms: atMs, revision: nextRevision })
            .where('state', '=', 'queued')
            .returningAll()
            .executeTakeFirst();
    if (!row && handed > 0) await counted.execute();
    return row;
  }
}

const isReport = (progress: unknown): progress is CommandProgress[] =>
  Array.isArray(progress) &&
  progress.length <= mostCommandReports &&
  progress.every(
    (each: Partial<CommandProgress> | null) =>
      typeof each?.id === 'string' &&
      isCommandId(each.id) &&
      typeof each.device === 'string' &&
      Number.isSafeInteger(each.handed) &&
      (each.deliveredMs === null || Number.isFinite(each.deliveredMs)),
  );
