/**
 * Claim certificates: one for a production line, good for enrolling so many devices of one fleet so long, and for nothing
 * else. They have no device, so that no directory finds them: nobody can connect with one.
 */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId, FleetId } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import type { Tables } from '../store/tables.ts';
import type { Write } from '../store/writer.ts';
import { ofClaim, sourceOfClaim } from './claim-source.ts';
import type { EnrollmentRight } from './credential.ts';
import type { Fleets } from './fleets.ts';

export interface ClaimView {
  readonly id: string;
  readonly fleet: string;
  readonly fingerprint: string;
  readonly uses: number;
  readonly usesLeft: number;
  /** Devices that it has enrolled. */
  readonly enrolled: number;
  readonly expiresAt: string;
  readonly createdAt: string;
  readonly revoked: boolean;
}

export interface ClaimsParts {
  read: Kysely<Tables>;
  fleets: Fleets;
  clock: Clock;
}

type ClaimRow = Tables['claims'];

export const viewOfClaim = (row: ClaimRow, enrolled: number): ClaimView => ({
  id: row.id,
  fleet: row.fleet,
  fingerprint: row.fingerprint,
  uses: row.uses,
  usesLeft: row.uses_left,
  enrolled,
  expiresAt: timestamp(row.expires_ms),
  createdAt: timestamp(row.created_ms),
  revoked: row.revoked === 1,
});

export class Claims {
  readonly #parts: ClaimsParts;

  constructor(parts: ClaimsParts) {
    this.#parts = parts;
  }

  async list(fleet: FleetId): Promise<ClaimView[]> {
    const { read, fleets } = this.#parts;
    await fleets.terms(fleet);
    const rows = await read
      .selectFrom('claims')
      .selectAll()
      .where('fleet', '=', fleet)
      .orderBy('created_ms')
      .execute();
    return Promise.all(rows.map(async (row) => viewOfClaim(row, await this.#enrolledBy(row.id))));
  }

  /**
   * What the leaf of a chain is good for now, when it is a claim of ours: undefined when it is none. One that is good no
   * longer keeps its right as a name, with the refusal.
   */
  async right([leaf]: readonly Buffer[]): Promise<EnrollmentRight | undefined> {
    if (!leaf) return undefined;
    const { read, clock } = this.#parts;
    const row = await read
      .selectFrom('claims')
      .innerJoin('certificates', 'certificates.fingerprint', 'claims.fingerprint')
      .innerJoin('issuers', 'issuers.id', 'certificates.issuer')
      .selectAll('claims')
      .select(['certificates.state', 'issuers.state as issuerState'])
      .where('claims.fingerprint', '=', fingerprintOf(leaf))
      .executeTakeFirst();
    if (!row) return undefined;
    if (row.revoked || row.state !== 'issued') throw invalid('was revoked');
    if (row.issuerState === 'removed') throw invalid('is of an issuer that is trusted no longer');
    const refusal =
      row.expires_ms <= clock.now() ? 'has expired' : row.uses_left <= 0 ? 'has been used up' : undefined;
    return {
      fleet: row.fleet as FleetId,
      device: null,
      source: sourceOfClaim(row.id),
      actor: sourceOfClaim(row.id),
      newcomersOnly: true,
      ...(refusal && { refusal: invalid(refusal) }),
      spend: (write, device) => this.#spend(write, row, device),
    };
  }

  /** Gives a use back, when nothing came of it. */
  async giveBack(write: Write, id: string): Promise<void> {
    await write
      .updateTable('claims')
      .set(({ eb }) => ({ uses_left: eb('uses_left', '+', 1) }))
      .where('id', '=', id)
      .whereRef('uses_left', '<', 'uses')
      .execute();
  }

  /**
   * Takes one use, atomically, for a device that has no certificate that is good: whoever steals a claim can make up new
   * devices, and not become one that is there.
   */
  async #spend(write: Write, { id, fingerprint }: ClaimRow, device: DeviceId): Promise<void> {
    const nowMs = this.#parts.clock.now();
    const live = await write
      .selectFrom('certificates')
      .select('serial')
      .where('device', '=', device)
      .where('state', 'in', ['issued', 'held', 'reserved'])
      .where('not_after_ms', '>', nowMs)
      .limit(1)
      .executeTakeFirst();
    if (live) throw knownDevice(device);
    const { numUpdatedRows } = await write
      .updateTable('claims')
      .set(({ eb }) => ({ uses_left: eb('uses_left', '-', 1) }))
      .where('id', '=', id)
      .where('uses_left', '>', 0)
      .where('revoked', '=', 0)
      .where('expires_ms', '>', nowMs)
      .where(({ exists, selectFrom }) =>
        exists(
          selectFrom('certificates')
            .select('serial')
            .where('fingerprint', '=', fingerprint)
            .where('state', '=', 'issued'),
        ),
      )
      .executeTakeFirst();
    if (numUpdatedRows === 0n) throw invalid('has been used up, or is good no longer');
  }

  async #enrolledBy(id: string): Promise<number> {
    const { count } = await this.#parts.read
      .selectFrom('certificates')
      .select(({ fn }) => fn.count<number>('device').distinct().as('count'))
      .where(ofClaim(id))
      .where('fingerprint', 'is not', null)
      .executeTakeFirstOrThrow();
    return count;
  }
}

const invalid = (why: string) =>
  new Fault('claim-invalid', `This claim certificate ${why}; the line needs a new one.`);

const knownDevice = (device: DeviceId) =>
  new Fault(
    'token-scope',
    `The device ${device} has a certificate that is good; a claim enrolls newcomers only. Renew it, or revoke it and enroll again.`,
  );
