/** A parcel as the PUBLISH in which it is sent now, or why it is not sent. */
import type { Parcel } from './parcel.ts';
import { publishBytes } from './publish-packet.ts';

/** The bytes; or that it has expired [MQTT-3.3.2-5], or is longer than the client takes [MQTT-3.1.2-24]. */
export function packetOf(
  { message, qos, retain, identifiers, again }: Parcel,
  packetId: number,
  version: 4 | 5,
  maximumPacketSize: number,
  clock: { now(): number },
): Buffer | 'expired' | 'too-large' {
  const { topic, payload, expiresAtMs } = message;
  let { properties } = message;
  if (expiresAtMs !== Number.POSITIVE_INFINITY) {
    const leftMs = expiresAtMs - clock.now();
    if (leftMs <= 0) return 'expired';
    properties = { ...properties, messageExpiry: Math.ceil(leftMs / 1000) }; // [MQTT-3.3.2-6]
  }
  const bytes = publishBytes(
    {
      topic,
      payload,
      qos,
      retain,
      duplicate: again !== undefined && again === packetId, // [MQTT-3.3.1-1]
      packetId,
      properties,
      subscriptionIdentifiers: identifiers,
    },
    version,
  );
  return bytes.length > maximumPacketSize ? 'too-large' : bytes;
}
