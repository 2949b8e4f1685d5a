/** The paths of Eclipse Hono's HTTP adapter, for devices that were made for it: each means one of ours. Pure. */
import type { DirectoryEntry } from '#common/contract/directory.ts';

export interface Asked {
  readonly method: string;
  readonly url: string;
}

const rooms: Readonly<Record<string, string>> = { telemetry: 'telemetry', event: 'events' };

/**
 * `POST /telemetry` and `PUT /telemetry/<fleet>/<device>`, the same for events: what they mean. Anything else, and what is
 * said for another device, as it was.
 */
export function meantBy({ method, url }: Asked, { fleet, device }: DirectoryEntry): Asked {
  const [path = ''] = url.split('?', 1);
  const [root, word = '', tenant, name, ...more] = path.split('/');
  const room = Object.hasOwn(rooms, word) ? rooms[word]! : null;
  if (root !== '' || room === null || more.length > 0) return { method, url };
  const isBare = method === 'POST' && tenant === undefined;
  const isNamed = method === 'PUT' && tenant === fleet && name === device;
  return isBare || isNamed ? { method: 'POST', url: `/v1/${room}` } : { method, url };
}
