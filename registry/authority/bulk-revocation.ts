/**
 * Revocation of many by one order: a fleet, all that an issuer has signed, or a list. In lots, each a transaction, a
 * change of the feed and an audit entry of its own, so that neither the loop nor a gateway stands still. An order that a
 * crash cut short is finished by giving it again.
 */
import type { Kysely } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { BulkForecast, BulkReceipt, LiveScope } from '#common/contract/bulk.ts';
import type { Change } from '#common/contract/change.ts';
import type { Receipt } from '#common/contract/receipt.ts';
import { Fault } from '#common/fault.ts';
import type { Fingerprint } from '#common/identity.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import {
  type BulkTarget,
  judgeTarget,
  listed,
  lotsOf,
  nameOf,
  outOfService,
  usable,
  type Victim,
} from './bulk-target.ts';
import { byState } from './by-state.ts';
import type { Feed } from './feed.ts';
import type { Gateways } from './gateways.ts';
import type { RevocationReason } from './revocation-reason.ts';

export interface BulkRevocationParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  clock: Clock;
}

/** Devices that a dry run names. */
export const mostNamed = 100;

export class BulkRevocation {
  readonly #parts: BulkRevocationParts;

  constructor(parts: BulkRevocationParts) {
    this.#parts = parts;
  }

  /** What the order would cut. Faults `not-found`. */
  async forecast(target: BulkTarget): Promise<BulkForecast> {
    const { read, gateways } = this.#parts;
    await judgeTarget(read, target);
    const devices = new Set<string>();
    const fingerprints: Fingerprint[] = [];
    for await (const victims of lotsOf(read, target)) {
      for (const { device, fingerprint } of victims) {
        devices.add(device);
        if (fingerprint !== null) fingerprints.push(fingerprint as Fingerprint);
      }
    }
    const scope: LiveScope = 'fleet' in target || 'issuer' in target ? target : { fingerprints };
    const live = await gateways.live(scope);
    return {
      dryRun: true,
      devices: devices.size,
      certificates: fingerprints.length,
      sessions: live.count,
      first: [...devices].sort().slice(0, mostNamed),
      complete: live.complete,
    };
  }

  /**
   * Revokes; the devices of a fleet or of a list are put out of service too. What comes to be meanwhile may escape it.
   * Faults `not-found`, and `malformed` for a hold where there can be none.
   */
  async revoke(target: BulkTarget, reason: RevocationReason, actor: string): Promise<BulkReceipt> {
    if (reason === 'certificateHold' && !('fingerprints' in target)) throw noHold();
    const { read, writer, gateways } = this.#parts;
    await judgeTarget(read, target);
    const devices = new Set<string>();
    const answers: Promise<Receipt>[] = [];
    for await (const victims of lotsOf(read, target)) {
      for (const { device } of victims) devices.add(device);
      const change = await writer.write((write) => this.#revokeLot(write, target, victims, reason, actor));
      answers.push(gateways.announce(change));
    }
    const receipts = await Promise.all(answers);
    return {
      dryRun: false,
      changeId: receipts.at(-1)?.changeId ?? 0,
      lots: receipts.length,
      devices: devices.size,
      certificates: receipts.reduce((sum, { certificates }) => sum + certificates.length, 0),
      sessions: receipts.flatMap(({ sessions }) => sessions),
      complete: receipts.every(({ complete }) => complete),
    };
  }

  async #revokeLot(
    write: Write,
    target: BulkTarget,
    victims: readonly Victim[],
    reason: RevocationReason,
    actor: string,
  ): Promise<Change> {
    const { audit, feed, clock } = this.#parts;
    const nowMs = clock.now();
    const state = reason === 'certificateHold' ? ('held' as const) : ('revoked' as const);
    // As they are now: something may have happened since they were looked up.
    const certificates = await write
      .selectFrom('certificates')
      .select(['fingerprint', 'state'])
      .where('fingerprint', 'in', listed(victims.flatMap(({ fingerprint }) => fingerprint ?? [])))
      .where('state', 'in', state === 'held' ? ['issued'] : usable)
      .execute();
    const fingerprints = certificates.map(({ fingerprint }) => fingerprint!);
    await write
      .updateTable('certificates')
      .set({ state, revoked_ms: nowMs, reason })
      .where('fingerprint', 'in', listed(fingerprints))
      .execute();
    const wholeDevices = 'fleet' in target || 'devices' in target;
    const devices = wholeDevices ? await putOut(write, victims, nowMs) : [];
    const detail = {
      reason,
      before: { certificates: byState(certificates, 'fingerprint'), devices: byState(devices, 'id') },
      after: { certificates: state, devices: wholeDevices ? 'revoked' : 'as before' },
    };
    await audit.append(write, { actor, action: 'certificates.revoke', target: nameOf(target), detail });
    const fleet = 'fleet' in target ? target.fleet : undefined;
    return feed.append(write, { kind: 'certificates-revoked', fleet, fingerprints, reason });
  }
}

/** Their devices as they were before. */
async function putOut(write: Write, victims: readonly Victim[], nowMs: number) {
  const ids = listed([...new Set(victims.map(({ device }) => device))]);
  const before = await write
    .selectFrom('devices')
    .select(['id', 'state'])
    .where('id', 'in', ids)
    .where('state', 'not in', outOfService)
    .execute();
  await write
    .updateTable('devices')
    .set({ state: 'revoked', updated_ms: nowMs })
    .where('id', 'in', listed(before.map(({ id }) => id)))
    .execute();
  return before;
}

const noHold = () =>
  new Fault(
    'malformed',
    'A hold is for certificates by their fingerprints; to keep devices out for a while, disable them.',
  );
