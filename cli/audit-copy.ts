/** A copy of the audit, in a file of ours or a database, checked with no server: row by row, in memory that does not grow. */
import { createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import { parseTimestamp, timestamp } from '#common/clock.ts';
import {
  AuditChain,
  type AuditFinding,
  type AuditHead,
  type AuditRow,
  auditGenesis,
} from '#common/contract/audit-chain.ts';
import { Fault } from '#common/fault.ts';

export interface CopyVerdict {
  readonly intact: boolean;
  readonly entries: number;
  readonly brokenAt: number | null;
  readonly finding: AuditFinding | null;
  readonly head: AuditHead;
}

/** The first line of a file: what it is, and where the chain begins. */
export const headLine = (): string => JSON.stringify({ audit: 1, genesis: auditGenesis });
/** The last line: a file without it was cut off. */
export const endLine = ({ count, hash }: AuditHead): string => JSON.stringify({ count, hash });
/** `detail` stays a text, as it was hashed. */
export const rowLine = ({ time_ms, ...row }: AuditRow): string =>
  JSON.stringify({ ...row, time: timestamp(time_ms) });

/** Faults `malformed` for a file that is no copy of an audit. */
export async function verifyFile(path: string, expected: Partial<AuditHead>): Promise<CopyVerdict> {
  if (!existsSync(path)) throw new Fault('not-found', `There is no file ${path}.`);
  const chain = new AuditChain(expected);
  let end: Partial<AuditHead> | null = null;
  let at = 0;
  let unreadable: AuditFinding | null = null;
  for await (const line of createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    at += 1;
    if (at === 1) judgeHead(line, path);
    else if (end) unreadable = finding('inserted', chain, `Line ${at} comes after the end of the copy.`);
    else {
      const read = parse(line);
      if (read === null) unreadable = finding('changed', chain, `Line ${at} cannot be read as a row.`);
      else if ('id' in read) {
        if (!chain.take(read)) break;
      } else end = read;
    }
    if (unreadable) break;
  }
  if (at === 0) judgeHead('', path);
  return verdictOf(chain, unreadable ?? chain.end() ?? judgeEnd(chain, end));
}

/** A registry.db, or a copy of one. Faults `not-found`, `malformed`. */
export function verifyDatabase(path: string, expected: Partial<AuditHead>): CopyVerdict {
  if (!existsSync(path)) throw new Fault('not-found', `There is no file ${path}.`);
  const chain = new AuditChain(expected);
  try {
    const db = new Database(path, { readonly: true, fileMustExist: true });
    try {
      for (const row of db.prepare('SELECT * FROM audit ORDER BY id').iterate())
        if (!chain.take(row as AuditRow)) break;
    } finally {
      db.close();
    }
  } catch (cause) {
    throw new Fault('malformed', `${path} is no database of a registry: ${(cause as Error).message}.`, {
      cause,
    });
  }
  return verdictOf(chain, chain.end());
}

export function verdictOf(chain: AuditChain, found: AuditFinding | null): CopyVerdict {
  const { head } = chain;
  return { intact: found === null, entries: head.count, brokenAt: found?.at ?? null, finding: found, head };
}

function judgeHead(line: string, path: string): void {
  try {
    const head = JSON.parse(line) as { audit?: unknown; genesis?: unknown };
    if (head.audit === 1 && head.genesis === auditGenesis) return;
  } catch {
    // Not JSON: not a copy of ours.
  }
  throw new Fault(
    'malformed',
    `${path} was not written by "fleetgate audit export", or its first line was changed.`,
  );
}

function judgeEnd(chain: AuditChain, end: Partial<AuditHead> | null): AuditFinding | null {
  const { count, hash } = chain.head;
  if (!end) return finding('truncated', chain, 'The closing line is missing: the end was cut off.');
  if (end.count === count && end.hash === hash) return null;
  return finding('truncated', chain, `The closing line speaks of ${end.count} rows; here are ${count}.`);
}

const finding = (what: AuditFinding['what'], chain: AuditChain, sentence: string): AuditFinding => ({
  what,
  at: chain.head.count + 1,
  sentence,
});

/** A row, or the closing line; null for anything else. */
function parse(line: string): AuditRow | AuditHead | null {
  try {
    const read = JSON.parse(line) as Record<string, unknown>;
    const texts = (names: string[]) => names.every((name) => typeof read[name] === 'string');
    if (typeof read.count === 'number' && texts(['hash']) && Object.keys(read).length === 2)
      return { count: read.count, hash: read.hash as string };
    const { time, ...row } = read;
    if (typeof row.id !== 'number' || typeof time !== 'string') return null;
    if (!texts(['actor', 'action', 'target', 'detail', 'previous', 'hash'])) return null;
    return { ...row, time_ms: parseTimestamp(time) } as AuditRow;
  } catch {
    return null;
  }
}
