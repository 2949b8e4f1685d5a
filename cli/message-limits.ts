/** Limits of messages on the command line: `--limits 100/s,2000/min,1MiB/s`, and as they are shown. */
import { byteWindowPattern, type MessageLimits } from '#common/contract/message-limits.ts';

/**
 * A list of windows, those with a size being of bytes; `none` takes back what was said, `unlimited` lifts what others
 * say. What is wrong in it, the registry says.
 */
export function limitsOf(text: string): MessageLimits | null {
  if (text === 'none') return null;
  if (text === 'unlimited') return { messages: [], bytes: [] };
  const windows = text.split(',').map((window) => window.trim());
  const ofBytes = (window: string) => new RegExp(byteWindowPattern).test(window);
  const bytes = windows.filter(ofBytes);
  const messages = windows.filter((window) => !ofBytes(window));
  return { ...(messages.length > 0 && { messages }), ...(bytes.length > 0 && { bytes }) };
}

export function limitsText(limits: MessageLimits | null | undefined): string {
  if (!limits) return 'none of its own';
  const say = (list: readonly string[] | undefined, what: string) =>
    list === undefined
      ? []
      : [list.length === 0 ? `any number of ${what}` : `${list.join(' and ')} of ${what}`];
  return [...say(limits.messages, 'messages'), ...say(limits.bytes, 'bytes')].join('; ') || 'none of its own';
}
