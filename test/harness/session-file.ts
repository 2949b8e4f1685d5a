/** A store of sessions on a file of its own, for tests of one process or several. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '#common/clock.ts';
import { SessionStore, type SessionStoreOptions } from '../../gateway/mqtt/store/session-store.ts';

export const sessionStoreDefaults = {
  process: 'gateway',
  shared: false,
  settings: {
    maxStoredMessages: 1000,
    maxStoredSize: 4 * 1024 * 1024,
    maxRetainedMessages: 1000,
    maxRetainedSize: 4 * 1024 * 1024,
    maxStoreSize: 1024 * 1024 * 1024,
  },
  clock: systemClock,
  log: pino({ level: 'silent' }),
};

export class SessionFolder implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'sessions-'));

  open(options: Partial<SessionStoreOptions> = {}): Promise<SessionStore> {
    return SessionStore.open({ ...sessionStoreDefaults, dataDir: this.dir, ...options });
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
