/** Enrollment tokens: who holds one may enroll devices of its fleet, or the one device it names, so many times, so long. */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId, FleetId } from '#common/identity.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import type { EnrollmentRight } from './credential.ts';
import { hashSecret, makeId, makeSecret } from './secret.ts';

export interface TokenView {
  readonly id: string;
  readonly fleet: string;
  readonly deviceId: string | null;
  readonly uses: number;
  readonly usesLeft: number;
  readonly expiresAt: string;
  readonly revoked: boolean;
}

export interface TokenRequest {
  readonly deviceId?: DeviceId;
  readonly uses: number;
  readonly ttlMs: number;
}

type TokenRow = Tables['tokens'];

const viewOf = (row: TokenRow): TokenView => ({
  id: row.id,
  fleet: row.fleet,
  deviceId: row.device,
  uses: row.uses,
  usesLeft: row.uses_left,
  expiresAt: timestamp(row.expires_ms),
  revoked: row.revoked === 1,
});

export class Tokens {
  readonly #read: Kysely<Tables>;
  readonly #writer: Writer;
  readonly #audit: Audit;
  readonly #clock: Clock;

  constructor(parts: { read: Kysely<Tables>; writer: Writer; audit: Audit; clock: Clock }) {
    this.#read = parts.read;
    this.#writer = parts.writer;
    this.#audit = parts.audit;
    this.#clock = parts.clock;
  }

  /** The secret is in this answer and nowhere else. Faults `not-found` for a fleet that does not exist. */
  async create(fleet: FleetId, request: TokenRequest, actor: string): Promise<TokenView & { token: string }> {
    const token = makeSecret('fge');
    const nowMs = this.#clock.now();
    const row: TokenRow = {
      id: makeId(),
      hash: hashSecret(token),
      fleet,
      device: request.deviceId ?? null,
      uses: request.uses,
      uses_left: request.uses,
      expires_ms: nowMs + request.ttlMs,
      created_ms: nowMs,
      revoked: 0,
    };
    await this.#writer.write(async (write) => {
      const known = await write.selectFrom('fleets').select('id').where('id', '=', fleet).executeTakeFirst();
      if (!known) throw new Fault('not-found', `There is no fleet ${fleet}; create it first.`);
      await write.insertInto('tokens').values(row).execute();
      const detail = { before: null, after: viewOf(row) };
      await this.#audit.append(write, { actor, action: 'token.create', target: row.id, detail });
    });
    return { ...viewOf(row), token };
  }

  async list(fleet: FleetId): Promise<TokenView[]> {
    const rows = await this.#read
      .selectFrom('tokens')
      .selectAll()
      .where('fleet', '=', fleet)
      .orderBy('created_ms')
      .execute();
    return rows.map(viewOf);
  }

  async revoke(id: string, actor: string): Promise<void> {
    await this.#writer.write(async (write) => {
      const row = await write.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst();
      if (!row) throw new Fault('not-found', `There is no token ${id}.`);
      await write.updateTable('tokens').set({ revoked: 1 }).where('id', '=', id).execute();
      const detail = { before: viewOf(row), after: viewOf({ ...row, revoked: 1 }) };
      await this.#audit.append(write, { actor, action: 'token.revoke', target: id, detail });
    });
  }

  /** What a token is good for now, spent and expired ones with the refusal. Faults `token-invalid`. Spends nothing yet. */
  async right(secret: string): Promise<EnrollmentRight> {
    const row = await this.#read
      .selectFrom('tokens')
      .selectAll()
      .where('hash', '=', hashSecret(secret))
      .executeTakeFirst();
    if (!row || row.revoked)
      throw new Fault('token-invalid', 'This enrollment token is not known here, or was revoked.');
    const refusal =
      row.expires_ms <= this.#clock.now()
        ? new Fault('token-expired', 'This enrollment token has expired; ask for a new one.')
        : row.uses_left <= 0
          ? spent()
          : undefined;
    return {
      ...(refusal && { refusal }),
      fleet: row.fleet as FleetId,
      device: row.device as DeviceId | null,
      source: `token:${row.id}`,
      actor: `token:${row.id}`,
      spend: (write) => this.#spend(write, row.id),
    };
  }

  /** Takes one use, atomically: of two who spend the last use at once, one gets `token-spent`. */
  async #spend(write: Write, id: string): Promise<void> {
    const { numUpdatedRows } = await write
      .updateTable('tokens')
      .set(({ eb }) => ({ uses_left: eb('uses_left', '-', 1) }))
      .where('id', '=', id)
      .where('uses_left', '>', 0)
      .where('revoked', '=', 0)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) throw spent();
  }

  /** Gives a use back, when nothing came of it. */
  async giveBack(write: Write, id: string): Promise<void> {
    await write
      .updateTable('tokens')
      .set(({ eb }) => ({ uses_left: eb('uses_left', '+', 1) }))
      .where('id', '=', id)
      .execute();
  }
}

const spent = () => new Fault('token-spent', 'This enrollment token has been used up; ask for a new one.');
