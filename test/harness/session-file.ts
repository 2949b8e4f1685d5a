/** A store of sessions on a file of its own, for tests of one process or several. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { systemClock } from '#common/clock.ts';
import { SessionStore, type SessionStoreOptions } from '../../gateway/mqtt/store/session-store.ts';
import type { Arrival } from '../../gateway/mqtt/store/session-table.ts';

export const sessionStoreDefaults = {
  process: 'gateway',
  neighbours: [] as string[],
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

/** What the other process can be asked (session-child.ts). */
export type SessionRequest =
  | { ask: 'open'; arrival: Arrival }
  | { ask: 'subscribe'; clientId: string; filter: string }
  | { ask: 'match'; topic: string }
  | { ask: 'keeps'; clientId: string }
  | { ask: 'publish'; topic: string; from: string; count: number };

/** Another process on the same file. */
export class SessionNeighbour implements Disposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start({ dir }: SessionFolder): Promise<SessionNeighbour> {
    const child = fork(fileURLToPath(new URL('session-child.ts', import.meta.url)), [dir], {
      serialization: 'advanced',
    });
    await once(child, 'message');
    return new SessionNeighbour(child);
  }

  async ask(request: SessionRequest): Promise<unknown> {
    this.#child.send(request);
    const [{ value, error }] = (await once(this.#child, 'message')) as [{ value?: unknown; error?: string }];
    if (error !== undefined) throw new Error(error);
    return value;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
