/**
 * `devices/<id>/errors`: why something was refused, for a session that listens there, at QoS 0. MQTT 3.1.1 has no other
 * word for it; MQTT 5 has none for a PUBLISH of QoS 0. What the refusal is about comes in the fields of its fault.
 */
import { timestamp } from '#common/clock.ts';
import type { Fault } from '#common/fault.ts';
import { filterMatches } from '#common/topic-match.ts';
import type { Rights } from '../sessions/rights.ts';
import { publish0 } from './answers.ts';

/** The session that is told. */
export interface Listener {
  readonly version: 4 | 5;
  readonly device: string;
  readonly maximumPacketSize: number;
  readonly rights: Pick<Rights, 'mayReceive'>;
  /** What it has subscribed to. */
  readonly filters: readonly string[];
}

/** The PUBLISH that tells it; null when it does not listen, or takes no packet that long. */
export function errorWord(fault: Fault, listener: Listener, nowMs: number): Buffer | null {
  const { version, device, maximumPacketSize, rights, filters } = listener;
  const topic = `devices/${device}/errors`;
  const levels = topic.split('/');
  if (!rights.mayReceive(topic)) return null;
  if (!filters.some((filter) => filterMatches(filter.split('/'), levels))) return null;
  const { correlation = null, topic: about } = fault.fields;
  const told = {
    code: fault.kind,
    message: fault.message,
    correlation,
    topic: about,
    time: timestamp(nowMs),
  };
  const word = publish0(topic, JSON.stringify(told), version);
  return word.length <= maximumPacketSize ? word : null;
}
