/** What devices answer: recorded once, in time, and only by the device that was asked. A reply is an acknowledgement too. */
import type { Clock } from '#common/clock.ts';
import { type CommandReply, isCommandId, replyStatusOf } from '#common/contract/command.ts';
import { Fault } from '#common/fault.ts';
import type { Metrics } from '#common/metrics.ts';
import type { CommandRow } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { CommandOutcomes } from './command-outcomes.ts';
import { alter } from './command-state.ts';
import { unknownCommand } from './commands.ts';

export interface CommandRepliesParts {
  writer: Writer;
  audit: Audit;
  outcomes: CommandOutcomes;
  metrics: Metrics;
  clock: Clock;
  maxBytes: number;
}

const longestContentType = 255;

export class CommandReplies {
  readonly #parts: CommandRepliesParts;

  constructor(parts: CommandRepliesParts) {
    this.#parts = parts;
  }

  /**
   * Resolves when it is on disk. The same reply again is taken as said; another one faults `conflict`. Faults `not-found` for
   * a command that is not of this device, `command-expired`, `too-large`, `malformed`.
   */
  async record(reply: CommandReply, gateway: string): Promise<null> {
    const payload = this.#judge(reply);
    const { writer, outcomes, metrics } = this.#parts;
    const done = await writer.write((write) => this.#record(write, reply, payload, gateway));
    if (!done) return null;
    if (done.wasQueued) metrics.commandsPending.dec();
    outcomes.tell([done.row]);
    return null;
  }

  #judge({ id, device, status, contentType, payload }: CommandReply): Buffer {
    const isReply =
      [id, device, contentType, payload].every((each) => typeof each === 'string') &&
      replyStatusOf(String(status)) !== null;
    if (!isReply) throw new Fault('malformed', 'A reply has a command, a device, a status and a payload.');
    if (!isCommandId(id)) throw unknownCommand(device, id.slice(0, 64));
    const bytes = Buffer.from(payload, 'base64');
    if (bytes.length > this.#parts.maxBytes)
      throw new Fault('too-large', `A reply has at most ${this.#parts.maxBytes} bytes here.`);
    return bytes;
  }

  async #record(
    write: Write,
    { id, device, status, contentType }: CommandReply,
    payload: Buffer,
    gateway: string,
  ): Promise<{ row: CommandRow; wasQueued: boolean } | null> {
    const { audit, clock } = this.#parts;
    const before = await write
      .selectFrom('commands')
      .selectAll()
      .where('id', '=', id)
      .where('device', '=', device)
      .executeTakeFirst();
    if (!before) throw unknownCommand(device, id);
    if (before.state === 'replied') {
      if (before.reply_status === status && before.reply_payload?.equals(payload)) return null;
      throw new Fault('conflict', `The command ${id} was answered already, otherwise.`);
    }
    const nowMs = clock.now();
    if (before.state === 'expired' || before.state === 'withdrawn' || before.expires_ms <= nowMs)
      throw new Fault(
        'command-expired',
        `The command ${id} has run out, or was withdrawn; nobody waits for its reply.`,
      );
    const row = await alter(write, id, {
      state: 'replied',
      delivered_ms: before.delivered_ms ?? nowMs,
      ended_ms: nowMs,
      reply_status: status,
      reply_content_type: contentType.slice(0, longestContentType),
      reply_payload: payload,
    });
    const after = { state: row.state, status, bytes: payload.length };
    const detail = { device, gateway, before: { state: before.state }, after };
    await audit.append(write, { actor: `device:${device}`, action: 'command.reply', target: id, detail });
    return { row, wasQueued: before.state === 'queued' };
  }
}
