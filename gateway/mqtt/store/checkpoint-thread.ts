/** The thread that waits for the disk: it moves what the log holds into the database, and begins the log anew. */
import { parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { beat, settle } from './schema.ts';

const db = new Database(workerData as string, { timeout: 10_000 });
settle(db);

/**
 * TRUNCATE holds the lock of the writers, who come back a moment later. The write after it takes upon itself the wait for
 * the header of the new log (ticket ff5be73dee of SQLite), so that no main thread has to.
 */
function checkpoint(): void {
  const [{ busy } = { busy: 1 }] = db.pragma('wal_checkpoint(TRUNCATE)') as { busy: number }[];
  db.transaction(() => beat(db)).immediate();
  if (busy) throw new Error('others were reading');
}

parentPort!.on('message', (word: 'checkpoint' | 'close') => {
  if (word === 'close') {
    db.close();
    parentPort!.close();
    return;
  }
  try {
    checkpoint();
    parentPort!.postMessage(null);
  } catch (thrown) {
    parentPort!.postMessage((thrown as Error).message);
  }
});
