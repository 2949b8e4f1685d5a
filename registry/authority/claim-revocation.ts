/**
 * A claim that is revoked, alone or with all that it has enrolled: the devices whose certificates it issued, or that have
 * renewed such a one since. A dry run counts them and changes nothing.
 */
import { sql } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { Receipt } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Fingerprint } from '#common/identity.ts';
import type { Store } from '../store/store.ts';
import type { Tables } from '../store/tables.ts';
import type { Approvals } from './approvals.ts';
import type { Audit } from './audit.ts';
import { ofClaim, sourceOfClaim } from './claim-source.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import type { FinalReason } from './revocation-reason.ts';

/** What would go with a claim and its devices. */
export interface ClaimToll {
  readonly devices: number;
  readonly certificates: number;
  /** Live connections of those devices, on all gateways that follow. */
  readonly sessions: number;
  /** True when every gateway that follows the feed has answered in time. */
  readonly complete: boolean;
}

export interface ClaimRevocationParts {
  store: Store;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  approvals: Approvals;
  clock: Clock;
}

/** Devices that one transaction revokes, and one change of the feed tells of. */
const lot = 64;

export class ClaimRevocation {
  readonly #parts: ClaimRevocationParts;

  constructor(parts: ClaimRevocationParts) {
    this.#parts = parts;
  }

  /** What revoking it with its devices would end. Faults `not-found`. */
  async count(id: string): Promise<ClaimToll> {
    const { store, gateways } = this.#parts;
    await this.#find(id);
    let devices = 0;
    const fingerprints: Fingerprint[] = [];
    for await (const lotted of this.#lots(id)) {
      devices += lotted.length;
      fingerprints.push(...(await liveOf(store.read, lotted)));
    }
    const { count: sessions, complete } = await gateways.live({ fingerprints });
    return { devices, certificates: fingerprints.length, sessions, complete };
  }

  /**
   * Revokes it for good, so that it enrolls nobody any more; with `devices` every device that it has enrolled too. The
   * receipt tells of all of them together. Twice is answered like once. Faults `not-found`.
   */
  async revoke(
    id: string,
    { devices, reason }: { devices: boolean; reason: FinalReason },
    actor: string,
  ): Promise<Receipt> {
    const own = await this.#revokeClaim(id, devices, reason, actor);
    const receipts = [own];
    if (devices) {
      for await (const lotted of this.#lots(id))
        receipts.push(await this.#revokeDevices(id, lotted, reason, actor));
    }
    return {
      changeId: receipts.at(-1)!.changeId,
      certificates: receipts.flatMap(({ certificates }) => certificates),
      sessions: receipts.flatMap(({ sessions }) => sessions),
      complete: receipts.every(({ complete }) => complete),
    };
  }

  async #find(id: string): Promise<Tables['claims']> {
    const row = await this.#parts.store.read
      .selectFrom('claims')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst();
    if (!row) throw new Fault('not-found', `There is no claim ${id}.`);
    return row;
  }

  async #revokeClaim(id: string, devices: boolean, reason: FinalReason, actor: string): Promise<Receipt> {
    const { store, audit, feed, gateways, approvals, clock } = this.#parts;
    const { fingerprint, fleet, revoked: before } = await this.#find(id);
    const change = await store.writer.write(async (write) => {
      await write.updateTable('claims').set({ revoked: 1 }).where('id', '=', id).execute();
      const revoked = { state: 'revoked' as const, revoked_ms: clock.now(), reason };
      await write
        .updateTable('certificates')
        .set(revoked)
        .where('fingerprint', '=', fingerprint)
        .where('state', '!=', 'revoked')
        .execute();
      if (devices) {
        await approvals.denyAllOf(write, sourceOfClaim(id), actor, 'its claim certificate was revoked');
        // What is between its reservation and its record will not be recorded.
        const halfway = write
          .updateTable('certificates')
          .set(revoked)
          .where(ofClaim(id))
          .where('state', '=', 'reserved');
        await halfway.execute();
      }
      const states = { before: { revoked: before === 1 }, after: { revoked: true } };
      const detail = { fleet, reason, devices, ...states };
      await audit.append(write, { actor, action: 'claim.revoke', target: id, detail });
      return feed.append(write, { kind: 'certificate-revoked', fleet, fingerprint, reason });
    });
    const receipt = await gateways.announce(change);
    // No gateway knows it, so that the change carries no entry of it.
    return { ...receipt, certificates: [fingerprint as Fingerprint, ...receipt.certificates] };
  }

  async #revokeDevices(
    id: string,
    devices: readonly string[],
    reason: FinalReason,
    actor: string,
  ): Promise<Receipt> {
    const { store, audit, feed, gateways, clock } = this.#parts;
    const change = await store.writer.write(async (write) => {
      const nowMs = clock.now();
      const fingerprints = await liveOf(write, devices);
      const known = await write
        .selectFrom('devices')
        .select(['id', 'state'])
        .where('id', 'in', devices)
        .execute();
      const befores = new Map(known.map(({ id: device, state }) => [device, { state }]));
      await write
        .updateTable('certificates')
        .set({ state: 'revoked', revoked_ms: nowMs, reason })
        .where('device', 'in', devices)
        .where('state', 'in', ['issued', 'held', 'reserved'])
        .execute();
      await write
        .updateTable('devices')
        .set({ state: 'revoked', updated_ms: nowMs })
        .where('id', 'in', devices)
        .where('state', '!=', 'deleted')
        .execute();
      for (const device of devices) {
        const detail = {
          reason,
          claim: id,
          before: befores.get(device) ?? null,
          after: { state: 'revoked' },
        };
        await audit.append(write, { actor, action: 'device.revoke', target: device, detail });
      }
      return feed.append(write, { kind: 'certificates-revoked', fingerprints, reason });
    });
    return gateways.announce(change);
  }

  /** Lots of devices that act on what the claim gave them: by the certificate itself, or by one that renewed it. */
  async *#lots(id: string): AsyncGenerator<string[]> {
    const { read } = this.#parts.store;
    const rows = await read
      .selectFrom('certificates')
      .select('device')
      .distinct()
      .where(ofClaim(id))
      .orderBy('device')
      .execute();
    for (let at = 0; at < rows.length; at += lot) {
      const given = rows.slice(at, at + lot).map(({ device }) => device);
      const { rows: acting } = await sql<{ device: string }>`
        WITH RECURSIVE given (device, fingerprint, state) AS (
          SELECT device, fingerprint, state FROM certificates
            WHERE ${ofClaim(id)} AND device IN (SELECT value FROM json_each(${JSON.stringify(given)}))
          UNION
          SELECT c.device, c.fingerprint, c.state FROM given g
            JOIN certificates c ON c.device = g.device AND c.replaces = g.fingerprint
        )
        SELECT DISTINCT device FROM given WHERE state IN ('issued', 'held', 'reserved')`.execute(read);
      if (acting.length > 0) yield acting.map(({ device }) => device);
    }
  }
}

async function liveOf(read: Store['read'], devices: readonly string[]): Promise<Fingerprint[]> {
  const rows = await read
    .selectFrom('certificates')
    .select('fingerprint')
    .where('device', 'in', devices)
    .where('state', 'in', ['issued', 'held'])
    .where('fingerprint', 'is not', null)
    .execute();
  return rows.flatMap(({ fingerprint }) => (fingerprint as Fingerprint | null) ?? []);
}
