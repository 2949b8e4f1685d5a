/** What a connection hears first and last: CONNACK when it is admitted, and the word of its protocol for why it ends. Pure. */
import type { Fault } from '#common/fault.ts';
import type { MqttSettings } from '../settings.ts';
import { connack4, connack5, connack5Refusal, disconnect5 } from './answers.ts';
import type { Connect } from './connect-packet.ts';
import { refusals } from './refusals.ts';

type Limits = Pick<MqttSettings, 'maxKeepAlive' | 'maxSessionExpiry' | 'receiveMaximum' | 'maxPacketSize'>;

/** Milliseconds in which something must be heard: what was asked for, within our bound; 0 asks for none, and gets it. */
export const keepAliveOf = ({ keepAliveSeconds }: Connect, { maxKeepAlive }: Limits): number =>
  keepAliveSeconds === 0 ? maxKeepAlive : Math.min(keepAliveSeconds * 1000, maxKeepAlive);

/** CONNACK that admits, with our limits where the version can say them. */
export function greetingOf(connect: Connect, sessionPresent: boolean, settings: Limits): Buffer {
  if (connect.version === 4) return connack4(0, sessionPresent);
  const keepAliveMs = keepAliveOf(connect, settings);
  const maxExpirySeconds = Math.round(settings.maxSessionExpiry / 1000);
  return connack5(sessionPresent, {
    receiveMaximum: settings.receiveMaximum,
    maximumPacketSize: settings.maxPacketSize,
    serverKeepAliveSeconds:
      keepAliveMs === connect.keepAliveSeconds * 1000 ? null : Math.round(keepAliveMs / 1000),
    sessionExpirySeconds: connect.sessionExpirySeconds > maxExpirySeconds ? maxExpirySeconds : null,
  });
}

/** How far a connection has come, and in what it speaks. */
export interface Acquaintance {
  /** Whether it said CONNECT, or began to in the version that is given. */
  readonly said: boolean;
  readonly greeted: boolean;
  readonly version: 4 | 5;
  readonly wantsReasons: boolean;
}

/** A CONNACK before the greeting, a DISCONNECT after it; null for whoever has not said CONNECT, and after it in 3.1.1. */
export function lastWordOf(
  fault: Fault,
  { said, greeted, version, wantsReasons }: Acquaintance,
): Buffer | null {
  const words = refusals[fault.kind];
  const reason = wantsReasons ? fault.message : null;
  if (greeted) return version === 5 ? disconnect5(words.disconnect5, reason) : null;
  if (said || version === 5)
    return version === 5 ? connack5Refusal(words.connack5, reason) : connack4(words.connack4, false);
  return fault.kind === 'protocol-version' ? connack4(words.connack4, false) : null; // [MQTT-3.1.2-2]
}
