/** A command as the API shows it: in lists without its payloads, alone with them. */
import { timestamp } from '#common/clock.ts';
import type { CommandOffer, CommandState } from '#common/contract/command.ts';
import { type PayloadFields, payloadFields } from '#common/contract/command-payload.ts';
import type { DeviceId } from '#common/identity.ts';
import type { CommandRow } from '../store/tables.ts';

export interface CommandSummary {
  readonly commandId: string;
  readonly device: string;
  readonly name: string;
  readonly state: CommandState;
  readonly contentType: string;
  readonly sender: string;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly attempts: number;
  readonly deliveredAt: string | null;
  readonly endedAt: string | null;
  readonly replyStatus: number | null;
}

export type ReplyView = { readonly status: number; readonly contentType: string } & PayloadFields;

export type CommandView = CommandSummary & PayloadFields & { readonly reply: ReplyView | null };

/** What became of a command, in the order of revisions. */
export type CommandOutcome = CommandSummary & { readonly revision: number; readonly reply: ReplyView | null };

export type CommandHead = Omit<CommandRow, 'payload' | 'reply_payload'>;

const at = (timeMs: number | null): string | null => (timeMs === null ? null : timestamp(timeMs));

export const summaryOf = (row: CommandHead): CommandSummary => ({
  commandId: row.id,
  device: row.device,
  name: row.name,
  state: row.state,
  contentType: row.content_type,
  sender: row.sender,
  createdAt: timestamp(row.created_ms),
  expiresAt: timestamp(row.expires_ms),
  attempts: row.attempts,
  deliveredAt: at(row.delivered_ms),
  endedAt: at(row.ended_ms),
  replyStatus: row.reply_status,
});

export const viewOf = (row: CommandRow): CommandView => ({
  ...summaryOf(row),
  ...payloadFields(row.payload, row.content_type),
  reply: replyOf(row),
});

export const outcomeOf = (row: CommandRow): CommandOutcome => ({
  revision: row.revision,
  ...summaryOf(row),
  reply: replyOf(row),
});

function replyOf({ reply_status, reply_content_type, reply_payload }: CommandRow): ReplyView | null {
  if (reply_status === null) return null;
  const contentType = reply_content_type ?? '';
  const payload = payloadFields(reply_payload ?? Buffer.alloc(0), contentType);
  return { status: reply_status, contentType, ...payload };
}

export const offerOf = (row: CommandRow): CommandOffer => ({
  number: row.number,
  id: row.id,
  device: row.device as DeviceId,
  name: row.name,
  payload: row.payload.toString('base64'),
  contentType: row.content_type,
  createdMs: row.created_ms,
  expiresMs: row.expires_ms,
});
