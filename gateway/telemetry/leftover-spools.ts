/**
 * Spools that a start with more workers has left behind: what was acknowledged is in them. Each is taken over by one of
 * those that are there now, to be emptied and not to be filled.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { spoolFile } from './spool.ts';

/** The first worker has the spool that a gateway without workers has: from one to several and back loses nothing. */
export const spoolLabel = (worker: number): string => (worker === 1 ? '' : String(worker));

/** Labels of the spools with something in them that fall to one of so many workers, numbered from 1. */
export async function leftoverSpools(dataDir: string, worker: number, workers: number): Promise<string[]> {
  const numbers = (await readdir(dataDir)).flatMap((name) => {
    const number = Number(/^spool-(\d+)\.db$/.exec(name)?.[1]);
    return number > workers && ((number - 1) % workers) + 1 === worker ? [number] : [];
  });
  return numbers
    .sort((a, b) => a - b)
    .map(spoolLabel)
    .filter((label) => holdsEvents(join(dataDir, spoolFile(label))));
}

function holdsEvents(path: string): boolean {
  const db = new Database(path);
  try {
    const tables = db.prepare(`SELECT count(*) FROM sqlite_schema WHERE name = 'batches'`).pluck().get();
    return tables === 1 && db.prepare('SELECT 1 FROM batches LIMIT 1').get() !== undefined;
  } finally {
    db.close();
  }
}
