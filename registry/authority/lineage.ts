/**
 * The lineage of a certificate: what it renews, what renews it, and so on, within one device. From it follows which
 * certificates are past, and which may make room. Pure, but for the one query.
 */
import type { Kysely } from 'kysely';
import type { Tables } from '../store/tables.ts';

export type Kin = Pick<
  Tables['certificates'],
  | 'state'
  | 'device'
  | 'fleet'
  | 'replaces'
  | 'reserved_ms'
  | 'not_after_ms'
  | 'used_ms'
  | 'seen_ms'
  | 'retire_ms'
> & { readonly fingerprint: string };

/** Certificates of a device that are looked at, newest first: more have long run out, or been revoked. */
const mostKin = 200;

/** Every certificate of the lineage of `fingerprint`, itself included, newest first. */
export async function readLineage(
  read: Kysely<Tables>,
  { device, fingerprint }: { device: string; fingerprint: string },
): Promise<Kin[]> {
  const rows = await read
    .selectFrom('certificates')
    .select([
      'fingerprint',
      'state',
      'device',
      'fleet',
      'replaces',
      'reserved_ms',
      'not_after_ms',
      'used_ms',
      'seen_ms',
      'retire_ms',
    ])
    .where('device', '=', device)
    .where('fingerprint', 'is not', null)
    .orderBy('reserved_ms', 'desc')
    .limit(mostKin)
    .execute();
  return lineageIn(rows as Kin[], fingerprint);
}

/** Those of `rows` that are of the lineage of `fingerprint`, in their order. */
export function lineageIn(rows: readonly Kin[], fingerprint: string): Kin[] {
  const found = new Set([fingerprint]);
  for (let before = 0; before !== found.size; ) {
    before = found.size;
    for (const { fingerprint: own, replaces } of rows) {
      if (replaces === null) continue;
      if (found.has(own)) found.add(replaces);
      if (found.has(replaces)) found.add(own);
    }
  }
  return rows.filter(({ fingerprint: own }) => found.has(own));
}

/** What is past once `used` has been used for the first time: issued before it, and not past yet. */
export function pastOf(lineage: readonly Kin[], used: string): Kin[] {
  const since = lineage.find(({ fingerprint }) => fingerprint === used)?.reserved_ms ?? 0;
  return lineage.filter(
    ({ fingerprint, state, reserved_ms, retire_ms }) =>
      fingerprint !== used && state === 'issued' && retire_ms === null && reserved_ms <= since,
  );
}

/**
 * What makes room for another: those that nobody has ever used, oldest first, then those that are past. Never the one
 * that is presented, nor the one that was used last: the device may have no other.
 */
export function roomIn(lineage: readonly Kin[], presented: string, wanted: number, nowMs: number): Kin[] {
  const live = lineage.filter(
    ({ fingerprint, state, not_after_ms }) =>
      state === 'issued' && not_after_ms > nowMs && fingerprint !== presented,
  );
  const lastMs = Math.max(...lineage.map(lastUse));
  const oldestFirst = live.toSorted((a, b) => a.reserved_ms - b.reserved_ms);
  const unused = oldestFirst.filter(({ used_ms }) => used_ms === null);
  const past = oldestFirst.filter(
    (kin) => kin.used_ms !== null && kin.retire_ms !== null && lastUse(kin) < lastMs,
  );
  return [...unused, ...past].slice(0, Math.max(0, wanted));
}

const lastUse = ({ used_ms, seen_ms }: Kin): number => seen_ms ?? used_ms ?? 0;
