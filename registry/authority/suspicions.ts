/**
 * Devices that seem to be two: what a gateway reports is kept with the device, told on the feed and in the audit, and
 * keeps the device out when the gateway asks for that. An operator ends it by enabling the device.
 */
import { type Clock, timestamp } from '#common/clock.ts';
import type { Receipt } from '#common/contract/receipt.ts';
import { mostPlaces, type Suspect, type Suspicion, suspicionReasons } from '#common/contract/suspicion.ts';
import { Fault } from '#common/fault.ts';
import type { Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';

export interface SuspicionsParts {
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  clock: Clock;
}

export class Suspicions {
  readonly #parts: SuspicionsParts;

  constructor(parts: SuspicionsParts) {
    this.#parts = parts;
  }

  /** The receipt says which sessions have ended. Faults `malformed`, `not-found`. */
  async suspect(report: Suspect, gateway: string): Promise<Receipt> {
    if (!isReport(report)) throw new Fault('malformed', 'A suspicion names a device, a reason and places.');
    const { writer, audit, feed, gateways, clock } = this.#parts;
    const { device: id, quarantine, reason, score, places } = report;
    const change = await writer.write(async (write) => {
      const row = await write.selectFrom('devices').selectAll().where('id', '=', id).executeTakeFirst();
      if (!row || row.state === 'deleted') throw new Fault('not-found', `There is no device ${id}.`);
      const before: Suspicion | null = row.suspicion === null ? null : JSON.parse(row.suspicion);
      const at = timestamp(clock.now());
      const after: Suspicion = { since: before?.since ?? at, at, gateway, reason, score, places };
      // Only one that is in service: what an operator has decided stays.
      const state = quarantine && row.state === 'active' ? 'quarantined' : row.state;
      await write
        .updateTable('devices')
        .set({ state, suspicion: JSON.stringify(after), updated_ms: clock.now() })
        .where('id', '=', id)
        .execute();
      const detail = {
        before: { state: row.state, suspicion: before },
        after: { state, suspicion: after },
      };
      await audit.append(write, {
        actor: `gateway:${gateway}`,
        action: 'device.suspect',
        target: id,
        detail,
      });
      const kind = state === row.state ? 'device-suspected' : 'device-quarantined';
      return feed.append(write, { kind, fleet: row.fleet, device: id, reason });
    });
    return gateways.announce(change);
  }
}

/** A gateway may be of another version than this registry. */
const isReport = ({ device, reason, score, places }: Suspect): boolean =>
  typeof device === 'string' &&
  suspicionReasons.includes(reason) &&
  Number.isFinite(score) &&
  Array.isArray(places) &&
  places.length <= mostPlaces &&
  places.every(
    ({ address, at }) => typeof address === 'string' && address.length <= 64 && typeof at === 'string',
  );
