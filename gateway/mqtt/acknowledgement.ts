/** PUBACK, PUBREC, PUBREL and PUBCOMP from a client (MQTT 5, sections 3.4 to 3.7): one shape, read strictly. */
import { malformed, PacketReader } from './packet-reader.ts';
import { readProperties } from './properties.ts';
import { readPacketId } from './subscribe-packet.ts';

/** The packet id that is acknowledged. Faults `malformed-packet`, `protocol-error`. */
export function readAcknowledgement(
  data: Buffer,
  start: number,
  end: number,
  version: 4 | 5,
  maxUserProperties: number,
): number {
  const reader = new PacketReader(data, start, end);
  const packetId = readPacketId(reader);
  if (version === 4) {
    reader.done();
    return packetId;
  }
  if (reader.left > 0) reader.byte();
  if (reader.left > 0) readProperties(reader, 'acknowledgement', maxUserProperties);
  if (reader.left > 0) throw malformed('bytes follow its last field');
  return packetId;
}
