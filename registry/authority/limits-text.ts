/** Limits of messages on their way into the database: read once, so that a gateway never meets some that it cannot read. */
import { type MessageLimits, windowsOf } from '#common/contract/message-limits.ts';

/** JSON, null for none. Faults `malformed` with the window that is wrong. */
export function limitsText(limits: MessageLimits | null): string | null {
  if (limits === null) return null;
  windowsOf(limits);
  return JSON.stringify(limits);
}
