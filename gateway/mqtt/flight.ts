/** A PUBLISH of QoS 1 or 2 between its sending and its last acknowledgement (sections 4.3.2 and 4.3.3). */
import type { Parcel } from './parcel.ts';

/** What the client is to send next; `landed` when that has come and the store has yet to forget it. */
export type Step = 'puback' | 'pubrec' | 'pubcomp' | 'landed';

export interface Flight {
  readonly packetId: number;
  /** Null when only its end is awaited. */
  parcel: Parcel | null;
  /** Whether the session's store holds it. */
  stored: boolean;
  step: Step;
  /** Whether it counts against the Receive Maximum of the client. */
  counted: boolean;
  /** Until it is written. */
  bytes: Buffer | null;
  /** Its packet id is in the store. */
  noted?: boolean;
}

/**
 * What is awaited after an acknowledgement of `type` (4 PUBACK, 5 PUBREC, 7 PUBCOMP): `landed` when nothing is; null when
 * it answers nothing that was sent. A reason code of 0x80 or more ends the delivery (section 4.3.3).
 */
export function stepAfter(flight: Flight | undefined, type: number, reasonCode: number): Step | null {
  if (flight === undefined || flight.bytes !== null) return null;
  const { step } = flight;
  if (type === 4) return step === 'puback' ? 'landed' : null;
  if (type === 5) {
    if (step === 'pubrec') return reasonCode >= 0x80 ? 'landed' : 'pubcomp';
    // Sent again by a client that has not had our PUBREL.
    return step === 'pubcomp' && reasonCode < 0x80 ? 'pubcomp' : null;
  }
  return step === 'pubcomp' ? 'landed' : null;
}
