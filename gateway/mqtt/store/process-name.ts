/** The processes that share the file of sessions, by name; and those of a start with more of them, whose connections are over. */
import type { SessionTable } from './session-table.ts';

/** Of a worker, from 1: the same after a restart. */
export const processName = (worker: number): string => `gateway-${worker}`;

/** To be called by one of so many workers, at its start: what others had connected is away since they ended. */
export async function abandonLeftovers(
  sessions: SessionTable,
  workers: number,
  nowMs: number,
): Promise<void> {
  const current = new Set(Array.from({ length: workers }, (_, index) => processName(index + 1)));
  for (const name of sessions.processes()) if (!current.has(name)) await sessions.abandon(name, nowMs);
}
