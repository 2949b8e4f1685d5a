/**
 * Counts what is of which issuer, over all certificates and devices, in lots between which the loop has a turn: a million
 * are looked at without anybody having to wait for it. What changes meanwhile may be counted as it was.
 */
import { type Kysely, sql } from 'kysely';
import type { Tables } from '../store/tables.ts';

/** Rows that one statement looks at. */
export const lotRows = 1000;

export type Counts = ReadonlyMap<string, number>;

interface Count {
  readonly id: string;
  readonly count: number;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Of a certificate `c` and its fleet `f`: within its validity, or the grace in which it may still be renewed. */
const isLive = (nowMs: number) => sql`c.state IN ('issued', 'held', 'reserved')
  AND c.not_after_ms + coalesce(f.grace_ms, 0) > ${nowMs}`;

/** Live certificates by issuer, by the covering index of the doors: the rows, with their DER, are not touched. */
export async function countCertificates(read: Kysely<Tables>, nowMs: number): Promise<Counts> {
  const counts = new Map<string, number>();
  // Those that are being issued first: one that is recorded meanwhile is counted twice rather than not at all.
  const { rows: reserved } = await sql<Count>`
    SELECT c.issuer AS id, count(*) AS count FROM certificates c LEFT JOIN fleets f ON f.id = c.fleet
    WHERE c.state = 'reserved' AND ${isLive(nowMs)} GROUP BY c.issuer`.execute(read);
  add(counts, reserved);
  for await (const [from, to] of ranges(read, 'certificates', 'fingerprint')) {
    const { rows } = await sql<Count>`
      SELECT c.issuer AS id, count(*) AS count
      FROM certificates c INDEXED BY certificates_at_the_door LEFT JOIN fleets f ON f.id = c.fleet
      WHERE c.fingerprint > ${from} AND c.fingerprint <= ${to} AND ${isLive(nowMs)}
      GROUP BY c.issuer`.execute(read);
    add(counts, rows);
  }
  return counts;
}

/** Devices by the issuer that they used last; those that were never seen by that of their newest certificate. */
export async function countDevices(read: Kysely<Tables>): Promise<Counts> {
  const counts = new Map<string, number>();
  for await (const [from, to] of ranges(read, 'devices', 'id')) {
    const { rows } = await sql<Count>`
      SELECT coalesce(d.last_issuer, (
          SELECT c.issuer FROM certificates c WHERE c.device = d.id AND c.state IN ('issued', 'held')
          ORDER BY c.reserved_ms DESC LIMIT 1
        ), '') AS id, count(*) AS count
      FROM devices d WHERE d.id > ${from} AND d.id <= ${to} AND d.state NOT IN ('deleted', 'revoked')
      GROUP BY 1`.execute(read);
    add(counts, rows);
  }
  return counts;
}

/**
 * Devices, in order, with a live certificate of an issuer and no other way in: another certificate counts when it is of an
 * issuer that is trusted and, once the device was seen, when that is the one it used last. What was issued may never have
 * arrived.
 */
export async function* losersOf(read: Kysely<Tables>, issuer: string, nowMs: number): AsyncGenerator<string> {
  for await (const [from, to] of ranges(read, 'devices', 'id')) {
    const { rows } = await sql<{ id: string }>`
      SELECT d.id FROM devices d
      WHERE d.id > ${from} AND d.id <= ${to} AND d.state NOT IN ('deleted', 'revoked')
        AND EXISTS (SELECT 1 FROM certificates c LEFT JOIN fleets f ON f.id = c.fleet
          WHERE c.device = d.id AND c.issuer = ${issuer} AND ${isLive(nowMs)})
        AND NOT EXISTS (SELECT 1 FROM certificates o JOIN issuers i ON i.id = o.issuer
          WHERE o.device = d.id AND o.issuer != ${issuer} AND i.state != 'removed' AND o.state = 'issued'
            AND o.not_after_ms > ${nowMs} AND o.issuer = coalesce(d.last_issuer, o.issuer))
      ORDER BY d.id`.execute(read);
    for (const { id } of rows) yield id;
  }
}

/** Lots of a table by an indexed column: after the first word, up to and with the second. */
async function* ranges(
  read: Kysely<Tables>,
  table: 'certificates' | 'devices',
  column: 'fingerprint' | 'id',
): AsyncGenerator<readonly [string, string]> {
  const [from_, by] = [sql.table(table), sql.ref(column)];
  for (let from = ''; ; ) {
    await turn();
    const { rows } = await sql<{ at: string }>`
      SELECT max(at) AS at FROM (
        SELECT ${by} AS at FROM ${from_} WHERE ${by} > ${from} ORDER BY ${by} LIMIT ${lotRows}
      ) HAVING max(at) IS NOT NULL`.execute(read);
    const to = rows[0]?.at;
    if (to === undefined) return;
    yield [from, to];
    from = to;
  }
}

function add(counts: Map<string, number>, rows: readonly Count[]): void {
  for (const { id, count } of rows) counts.set(id, (counts.get(id) ?? 0) + count);
}
