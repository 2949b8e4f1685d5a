/** A message from beside the broker, from a queue that knows by itself what is to be delivered, and how that ended. */
import { ownMessage, type Parcel } from './parcel.ts';
import type { Properties } from './properties.ts';
import { noIdentifiers } from './publish-packet.ts';

/** QoS 1, not retained. */
export interface Dispatch {
  readonly topic: string;
  readonly payload: Buffer;
  readonly properties?: Properties;
  /** Of the subscriptions by which it is sent. */
  readonly identifiers?: readonly number[];
  /** The packet id under which the same session has been sent it before: it goes again under the same, marked DUP. */
  readonly again?: number;
  /** It is on its way, under this packet id. */
  readonly sent?: (packetId: number) => void;
}

/**
 * How a dispatch ended: the client has it; it answered with a reason code of 0x80 or more (section 3.4.2.1); it was not
 * sent since the client takes no packet that long [MQTT-3.1.2-25]; or the connection ended first.
 */
export type Ending = 'acknowledged' | 'refused' | 'too-large' | 'closed';

export type Ended = (ending: Ending, reasonCode: number) => void;

/** The same as a parcel: whoever sends it has judged that the client may hear it. */
export function dispatched(
  { topic, payload, properties, identifiers = noIdentifiers, again, sent }: Dispatch,
  ended: Ended,
): Parcel {
  return {
    message: ownMessage(topic, payload, properties),
    qos: 1,
    retain: false,
    identifiers,
    stored: false,
    again,
    judged: true,
    sent,
    ended: (ending, reasonCode) => {
      // It neither expires here nor is judged here.
      ended(ending === 'expired' || ending === 'denied' ? 'closed' : ending, reasonCode);
      return false;
    },
  };
}
