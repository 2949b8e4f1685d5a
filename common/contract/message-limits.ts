/**
 * How much a device may send: messages and bytes, each in several windows at once. A role, a fleet and a device may each
 * say something; of messages and of bytes the most specific that says anything is what counts, as a whole list.
 */
import { Fault } from '../fault.ts';
import { parseSize } from '../quantity.ts';

/** Lists of windows: `100/s`, `2000/min` of messages, `1MiB/s` of bytes. An empty list lifts what a role or fleet says. */
export interface MessageLimits {
  readonly messages?: readonly string[];
  readonly bytes?: readonly string[];
}

/** So much, at once if it likes, in any time of so long. */
export interface RateWindow {
  readonly of: 'messages' | 'bytes';
  readonly amount: number;
  readonly periodMs: number;
}

const periods: Readonly<Record<string, number>> = { s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

export const messageWindowPattern = '^[1-9][0-9]{0,9}/(s|min|h|d)$';
export const byteWindowPattern = '^[1-9][0-9]{0,9}(\\.[0-9]+)?(B|KB|MB|GB|KiB|MiB|GiB)/(s|min|h|d)$';
export const mostWindows = 4;

/** What counts for a device; null when nobody says anything, which is the usual case. */
export function limitsInForce(
  role: MessageLimits | null | undefined,
  fleet: MessageLimits | null | undefined,
  device: MessageLimits | null | undefined,
): MessageLimits | null {
  if (!role && !fleet && !device) return null;
  const messages = device?.messages ?? fleet?.messages ?? role?.messages ?? [];
  const bytes = device?.bytes ?? fleet?.bytes ?? role?.bytes ?? [];
  return messages.length + bytes.length === 0 ? null : { messages, bytes };
}

/** Faults `malformed` with the window that cannot be read, or when there are too many. */
export function windowsOf({ messages = [], bytes = [] }: MessageLimits): RateWindow[] {
  for (const list of [messages, bytes])
    if (list.length > mostWindows) throw new Fault('malformed', `At most ${mostWindows} windows of a kind.`);
  return [
    ...messages.map((text) => windowOf('messages', text, messageWindowPattern)),
    ...bytes.map((text) => windowOf('bytes', text, byteWindowPattern)),
  ];
}

function windowOf(of: RateWindow['of'], text: string, pattern: string): RateWindow {
  if (!new RegExp(pattern).test(text)) {
    const example = of === 'messages' ? '100/s or 2000/min' : '64KiB/s or 1GiB/d';
    throw new Fault('malformed', `"${text}" is no window of ${of}; write ${example}.`);
  }
  const [amount = '', period = ''] = text.split('/');
  return { of, amount: of === 'messages' ? Number(amount) : parseSize(amount), periodMs: periods[period]! };
}
