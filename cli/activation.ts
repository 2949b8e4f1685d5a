/**
 * Sockets that whoever started this process has opened for it already, as systemd does (sd_listen_fds(3)): connections
 * that arrive while there is no process wait in them. Pure; the environment is read in config.ts.
 */
import { Fault } from '#common/fault.ts';

export const doorNames = ['mqtts', 'https', 'registry', 'pki', 'ops'] as const;
export type DoorName = (typeof doorNames)[number];

/** File descriptors by door. */
export type HandedSockets = Readonly<Partial<Record<DoorName, number>>>;

export interface ActivationVariables {
  LISTEN_PID?: string;
  LISTEN_FDS?: string;
  LISTEN_FDNAMES?: string;
}

/** SD_LISTEN_FDS_START: behind stdin, stdout and stderr. */
const first = 3;

/**
 * By their names when they have names of doors, otherwise in the order of `doorNames`. None when they are meant for another
 * process. Faults `malformed` for more sockets than doors, a name that is no door's among some that are, or one given twice.
 */
export function handedSockets(variables: ActivationVariables, pid: number): HandedSockets {
  if (variables.LISTEN_PID !== String(pid)) return {};
  const count = Number(variables.LISTEN_FDS ?? 0);
  if (!Number.isInteger(count) || count < 0 || count > doorNames.length)
    throw new Fault(
      'malformed',
      `LISTEN_FDS is ${variables.LISTEN_FDS}: there are ${doorNames.length} doors.`,
    );
  const given = (variables.LISTEN_FDNAMES ?? '').split(':').slice(0, count);
  const isNamed = given.some(isDoor);
  const names = isNamed ? given : doorNames.slice(0, count);
  const sockets: Partial<Record<DoorName, number>> = {};
  for (const [index, name] of names.entries()) {
    if (!isDoor(name))
      throw new Fault('malformed', `A socket is named ${name}, which is no door: ${doorNames.join(', ')}.`);
    if (sockets[name] !== undefined) throw new Fault('malformed', `Two sockets are named ${name}.`);
    sockets[name] = first + index;
  }
  return sockets;
}

const isDoor = (name: string): name is DoorName => (doorNames as readonly string[]).includes(name);
