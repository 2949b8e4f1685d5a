/** The paths of the HTTPS door but those of EST: one small table, matched without regular expressions over what a client sends. */

import { isCommandId } from '#common/contract/command.ts';
import type { EventClass } from '#common/contract/event.ts';
import { Fault } from '#common/fault.ts';

export type Target =
  | { readonly what: 'event'; readonly class: EventClass; readonly channel: string }
  | { readonly what: 'batch' }
  | { readonly what: 'me' }
  | { readonly what: 'renew' }
  | { readonly what: 'commands' }
  | { readonly what: 'reply'; readonly command: string };

/**
 * What a request is for. Faults `malformed` for targets that another reader could understand otherwise (absolute form,
 * `//`, `.` segments, encoded slashes or dots), `not-found`, `method-not-allowed`.
 */
export function targetOf(method: string, url: string): Target {
  const path = url.split('?', 1)[0]!;
  if (!path.startsWith('/') || path.includes('//') || path.includes('\\') || /(^|\/)\.{1,2}(\/|$)/.test(path))
    throw odd();
  const decoded = decode(path);
  if (decoded === '/v1/me') return allowed(method, ['GET', 'HEAD'], { what: 'me' });
  if (decoded === renewalPath) return allowed(method, ['POST'], { what: 'renew' });
  if (decoded === '/v1/telemetry:batch') return allowed(method, ['POST'], { what: 'batch' });
  if (decoded === commandsPath) return allowed(method, ['GET'], { what: 'commands' });
  const command = repliedIn(decoded);
  if (command !== null) return allowed(method, ['POST'], { what: 'reply', command });
  for (const [prefix, eventClass] of lanes) {
    if (decoded === prefix || decoded.startsWith(`${prefix}/`)) {
      const channel = decoded.slice(prefix.length + 1);
      if (channel.endsWith('/')) throw odd();
      return allowed(method, ['POST'], { what: 'event', class: eventClass, channel });
    }
  }
  if (decoded === '/mqtt')
    throw new Fault('malformed', 'Here MQTT is spoken over a WebSocket: ask for the upgrade to it.');
  throw new Fault('not-found', `There is nothing at ${path}.`);
}

const commandsPath = '/v1/commands';

/** The command in `/v1/commands/<id>/reply`. */
function repliedIn(path: string): string | null {
  const [, version, noun, id = '', verb, ...more] = path.split('/');
  const fits = `/${version}/${noun}` === commandsPath && verb === 'reply' && more.length === 0;
  return fits && isCommandId(id) ? id : null;
}

export const renewalPath = '/v1/renew';

const lanes: readonly (readonly [string, EventClass])[] = [
  ['/v1/telemetry', 'telemetry'],
  ['/v1/events', 'event'],
];

const odd = () =>
  new Fault('malformed', 'This request target can be read in more than one way; send it plainly.');

function decode(path: string): string {
  // An encoded slash, backslash, dot or NUL is somebody trying: nothing here needs one.
  if (/%(2f|5c|2e|00)/i.test(path)) throw odd();
  try {
    return decodeURIComponent(path);
  } catch {
    throw odd();
  }
}

function allowed(method: string, methods: readonly string[], target: Target): Target {
  if (methods.includes(method)) return target;
  throw new Fault('method-not-allowed', `Here one may ${methods.join(' or ')}.`, {
    fields: { allow: methods.join(', ') },
  });
}
