/** PUBACK, PUBREC, PUBREL and PUBCOMP from a client (MQTT 5, sections 3.4 to 3.7): one shape, read strictly. */
import { malformed, PacketReader } from './packet-reader.ts';
import { readProperties } from './properties.ts';
import { readPacketId } from './subscribe-packet.ts';

/** What an acknowledgement says. */
export interface Acknowledgement {
  packetId: number;
  /** 0 in 3.1.1, and when none is given: success. */
  reasonCode: number;
}

/** Read and used within one call: one a process is enough. */
const acknowledgement: Acknowledgement = { packetId: 0, reasonCode: 0 };

/** Reads one; the same object every time. Faults `malformed-packet`, `protocol-error`. */
export function readAcknowledgement(
  data: Buffer,
  start: number,
  end: number,
  version: 4 | 5,
  maxUserProperties: number,
): Acknowledgement {
  const reader = new PacketReader(data, start, end);
  acknowledgement.packetId = readPacketId(reader);
  acknowledgement.reasonCode = 0;
  if (version === 4) {
    reader.done();
    return acknowledgement;
  }
  if (reader.left > 0) acknowledgement.reasonCode = reader.byte();
  if (reader.left > 0) readProperties(reader, 'acknowledgement', maxUserProperties);
  if (reader.left > 0) throw malformed('bytes follow its last field');
  return acknowledgement;
}
