/**
 * A command on its way: from the registry, whose queue is the only one, to a gateway at whose door its device is, and what
 * the gateway tells of it. Plain JSON, payloads in base64, so that it passes between processes and machines as it is.
 */
import type { DeviceId } from '../identity.ts';

/**
 * `queued` until the device has acknowledged it, then `delivered`, and `replied` when it has answered. `expired`: its time to
 * live was over before the device had it. `withdrawn`: taken back before, or the device was deleted.
 */
export const commandStates = ['queued', 'delivered', 'replied', 'expired', 'withdrawn'] as const;
export type CommandState = (typeof commandStates)[number];

/** A command to be handed to its device. */
export interface CommandOffer {
  /** Grows with every command of the registry: the order in which a device gets its own. */
  readonly number: number;
  readonly id: string;
  readonly device: DeviceId;
  readonly name: string;
  /** Base64. */
  readonly payload: string;
  readonly contentType: string;
  /** Milliseconds since 1970. */
  readonly createdMs: number;
  readonly expiresMs: number;
}

/** What became of commands at a gateway: each handed over so many times more, and when it was acknowledged, if it was. */
export interface CommandProgress {
  readonly id: string;
  readonly device: DeviceId;
  readonly handed: number;
  readonly deliveredMs: number | null;
}

/** A device's answer. */
export interface CommandReply {
  readonly id: string;
  readonly device: DeviceId;
  /** As of HTTP, 100 to 599. */
  readonly status: number;
  readonly contentType: string;
  /** Base64. */
  readonly payload: string;
}

/** Which commands of a device are asked for: those after `after`, oldest first. */
export interface CommandsAsk {
  readonly device: DeviceId;
  readonly after: number;
  readonly limit: number;
}
export interface CommandsAnswer {
  readonly commands: readonly CommandOffer[];
  /** Whether there are others after these. */
  readonly more: boolean;
}

/** Most commands of one answer, devices of one question, and reports of one message. */
export const mostCommands = 100;
export const mostCommandDevices = 1_000;
export const mostCommandReports = 1_000;

/** A name is one level of a topic. `reply` is taken by the topic of the answers. */
export const commandNamePattern = '^(?!reply$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$';
export const commandIdPattern = '^[0-9a-f]{32}$';
const id = new RegExp(commandIdPattern);
const status = /^[1-5][0-9]{2}$/;

export const isCommandId = (text: string): boolean => id.test(text);

/** The status in a topic or a query; null when it is none. */
export const replyStatusOf = (text: string): number | null => (status.test(text) ? Number(text) : null);
