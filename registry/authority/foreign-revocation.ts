/**
 * Brings the recorded certificates of an anchor in line with what is known of them: revoked and held when a CRL lists
 * them, let go when it no longer lists what it held, and how long all that holds. Ordinary changes: sessions are cut.
 */
import type { Kysely } from 'kysely';
import type { Clock } from '#common/clock.ts';
import type { Change } from '#common/contract/change.ts';
import type { CertificateState } from '#common/contract/directory.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { AnchorRegister } from './anchor-register.ts';
import type { Audit } from './audit.ts';
import { byState } from './by-state.ts';
import type { Feed } from './feed.ts';
import type { CrlReason } from './foreign-crl.ts';
import type { ForeignCrls } from './foreign-crls.ts';
import { stepsOfPlan } from './foreign-path.ts';
import { heldUntilMs } from './foreign-status.ts';
import type { Gateways } from './gateways.ts';

export interface ForeignRevocationParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  register: AnchorRegister;
  clock: Clock;
}

/** Why it was revoked, by whose word: `issuer:keyCompromise`. */
export const reasonWord = (reason: CrlReason): string => `issuer:${reason}`;
const heldByIssuer = reasonWord('certificateHold');

/** Certificates that are looked at before the loop gets a turn, and those of one change of the feed. */
const page = 1000;
const lot = 500;

type Row = Pick<Tables['certificates'], 'serial' | 'fingerprint' | 'state' | 'reason' | 'plan'>;

interface Verdict {
  readonly fingerprint: string;
  readonly state: CertificateState;
  readonly reason: string | null;
}

export class ForeignRevocation {
  readonly #parts: ForeignRevocationParts;

  constructor(parts: ForeignRevocationParts) {
    this.#parts = parts;
  }

  /** After the CRLs of an anchor have changed: first what they list, then that the list is good until then. */
  async apply(id: string, crls: ForeignCrls): Promise<void> {
    const { read, gateways } = this.#parts;
    let after = '';
    for (;;) {
      const rows = await read
        .selectFrom('certificates')
        .select(['serial', 'fingerprint', 'state', 'reason', 'plan'])
        .where('issuer', '=', id)
        .where('serial', '>', after)
        .where('state', 'in', ['issued', 'held'])
        .orderBy('serial')
        .limit(page)
        .execute();
      const verdicts = rows.flatMap((row) => judge(row, id, crls) ?? []);
      for (const some of Map.groupBy(verdicts, ({ state, reason }) => `${state} ${reason}`).values())
        for (let at = 0; at < some.length; at += lot)
          await gateways.announce(await this.#record(id, some.slice(at, at + lot)));
      if (rows.length < page) break;
      after = rows.at(-1)!.serial;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await this.#extend(id, crls);
  }

  /** Revokes or holds one certificate, by the word of its responder. */
  async list(id: string, fingerprint: string, reason: CrlReason): Promise<void> {
    await this.#parts.gateways.announce(await this.#record(id, [{ fingerprint, ...listed(reason) }]));
  }

  #record(id: string, verdicts: readonly Verdict[]): Promise<Change> {
    const { writer, audit, feed, clock } = this.#parts;
    const { state, reason } = verdicts[0]!;
    const fingerprints = verdicts.map(({ fingerprint }) => fingerprint);
    return writer.write(async (write: Write) => {
      const before = await write
        .selectFrom('certificates')
        .select(['fingerprint', 'state'])
        .where('fingerprint', 'in', fingerprints)
        .execute();
      const isFreed = state === 'issued';
      let update = write
        .updateTable('certificates')
        .set({ state, reason, revoked_ms: isFreed ? null : clock.now() })
        .where('issuer', '=', id)
        .where('fingerprint', 'in', fingerprints)
        .where('state', 'in', ['issued', 'held']);
      // An operator may have taken hold of it since it was read.
      if (isFreed) update = update.where('reason', '=', heldByIssuer);
      await update.execute();
      const after = { state, reason, certificates: fingerprints };
      const detail = { before: byState(before, 'fingerprint'), after };
      await audit.append(write, { actor: `anchor:${id}`, action: 'certificate.status', target: id, detail });
      return feed.append(write, { kind: kinds[state], fingerprints, reason: reason ?? undefined });
    });
  }

  async #extend(id: string, crls: ForeignCrls): Promise<void> {
    const { register, writer, feed, gateways } = this.#parts;
    const anchor = register.find(id);
    const nextUpdateMs = crls.nextUpdateMs(id);
    if (!anchor || nextUpdateMs === undefined) return;
    const untilMs = heldUntilMs(anchor, nextUpdateMs);
    if (untilMs === anchor.statusUntilMs) return;
    const change = await writer.write(async (write) => {
      const issuer = await register.setStatus(write, id, untilMs);
      return issuer && feed.append(write, { kind: 'issuer-changed', issuer });
    });
    if (!change) return;
    const row = await register.row(id);
    if (row) register.take(row);
    await gateways.announce(change);
  }
}

const kinds = {
  issued: 'certificate-reinstated',
  held: 'certificate-held',
  revoked: 'certificates-revoked',
  reserved: 'certificates-revoked',
} as const satisfies Record<CertificateState, Change['kind']>;

const listed = (reason: CrlReason): Omit<Verdict, 'fingerprint'> => ({
  state: reason === 'certificateHold' ? 'held' : 'revoked',
  reason: reasonWord(reason),
});

/** What becomes of a recorded certificate; null when it stays as it is. What our operators hold, no CRL lets go. */
function judge(row: Row, anchor: string, crls: ForeignCrls): Verdict | null {
  const { fingerprint, state, reason, plan } = row;
  if (fingerprint === null) return null;
  const steps = stepsOfPlan(plan);
  const why = crls.reasonOf(anchor, steps);
  if (why) {
    const verdict = listed(why);
    return verdict.state === state ? null : { fingerprint, ...verdict };
  }
  const isFreed =
    state === 'held' && reason === heldByIssuer && steps.some(({ by }) => crls.covers(anchor, by));
  return isFreed ? { fingerprint, state: 'issued', reason: null } : null;
}
