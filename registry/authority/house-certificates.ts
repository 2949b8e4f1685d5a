/** What the CA signs for the house itself is written down before it is signed, so that its status can be answered for. */
import type { Clock } from '#common/clock.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';

export type HouseCertificate = Tables['house_certificates'];

/** Records one; those that have ended are dropped on the way. */
export const recordHouseCertificate =
  (writer: Writer, clock: Clock) =>
  (certificate: HouseCertificate): Promise<void> =>
    writer.write(async (write) => {
      await write.deleteFrom('house_certificates').where('not_after_ms', '<', clock.now()).execute();
      await write.insertInto('house_certificates').values(certificate).execute();
    });
