/** How the state of a command changes in the store: each change gets the next revision, so that it can be followed. */
import { sql } from 'kysely';
import type { CommandRow, CommandUpdate } from '../store/tables.ts';
import type { Write } from '../store/writer.ts';

/** The next in the order of what became of commands: the newest is never deleted, so none is given twice. */
export const nextRevision = sql<number>`(SELECT coalesce(max(revision), 0) + 1 FROM commands)`;

/** The command as it is after the change. */
export const alter = (write: Write, id: string, change: CommandUpdate): Promise<CommandRow> =>
  write
    .updateTable('commands')
    .set({ ...change, revision: nextRevision })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();

/** In the transaction that deletes a device: what still waited for it is withdrawn. Told afterwards by CommandOutcomes. */
export async function withdrawAllOf(write: Write, device: string, nowMs: number): Promise<CommandRow[]> {
  const waiting = await write
    .selectFrom('commands')
    .select('id')
    .where('device', '=', device)
    .where('state', '=', 'queued')
    .execute();
  const rows: CommandRow[] = [];
  for (const { id } of waiting) rows.push(await alter(write, id, { state: 'withdrawn', ended_ms: nowMs }));
  return rows;
}
