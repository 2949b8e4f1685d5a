/** What a connection hears first and last: CONNACK when it is admitted, and the word of its protocol for why it ends. Pure. */
import type { Fault } from '#common/fault.ts';
import type { MqttSettings } from '../settings.ts';
import { connack4, connack5, connack5Refusal, disconnect5, type Hearer } from './answers.ts';
import type { Connect } from './connect-packet.ts';
import { errorWord, type Listener } from './error-topic.ts';
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
    assignedClientId: connect.idAssigned ? connect.clientId : null,
  });
}

/** How far a connection has come, and in what it speaks. */
export interface Acquaintance extends Hearer, Listener {
  /** It has not said CONNECT, or not beyond the version that is given. */
  readonly awaitsConnect: boolean;
  readonly greeted: boolean;
}

/**
 * A CONNACK before the greeting; after it a DISCONNECT, or a word on the error topic in 3.1.1, which has no other. Null
 * for whoever has not said CONNECT, or does not listen.
 */
export function lastWordOf(fault: Fault, peer: Acquaintance, nowMs: number): Buffer | null {
  const { awaitsConnect, greeted, version } = peer;
  const words = refusals[fault.kind];
  if (greeted)
    return version === 5
      ? disconnect5(words.disconnect5, fault.message, peer)
      : errorWord(fault, peer, nowMs);
  if (version === 5) return connack5Refusal(words.connack5, fault.message, peer);
  if (!awaitsConnect) return connack4(words.connack4, false);
  return fault.kind === 'protocol-version' ? connack4(words.connack4, false) : null; // [MQTT-3.1.2-2]
}
