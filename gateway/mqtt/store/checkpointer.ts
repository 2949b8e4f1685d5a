/** The main thread's side of the checkpoint thread: one checkpoint at a time, asked for and waited for. */
import { Worker } from 'node:worker_threads';

export class Checkpointer implements AsyncDisposable {
  readonly #thread: Worker;
  #underway: { promise: Promise<void>; resolve(): void; reject(error: Error): void } | null = null;

  constructor(path: string) {
    this.#thread = new Worker(new URL('./checkpoint-thread.ts', import.meta.url), { workerData: path });
    this.#thread.unref();
    this.#thread.on('message', (problem: string | null) => this.#finish(problem));
    this.#thread.on('error', (error) => this.#finish((error as Error).message));
    this.#thread.on('exit', () => this.#finish('its thread has ended'));
  }

  /** Moves the log into the database and begins it anew; resolves when both are on disk. Rejects when it could not. */
  run(): Promise<void> {
    if (this.#underway) return this.#underway.promise;
    this.#underway = Promise.withResolvers<void>();
    const { promise } = this.#underway;
    // Somebody waits for it: the process stays until then.
    this.#thread.ref();
    this.#thread.postMessage('checkpoint');
    return promise;
  }

  #finish(problem: string | null): void {
    const underway = this.#underway;
    this.#underway = null;
    this.#thread.unref();
    if (problem === null) underway?.resolve();
    else underway?.reject(new Error(`The log of the sessions could not be checkpointed: ${problem}.`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#underway?.promise.catch(() => {
      // Its caller has heard of it.
    });
    this.#thread.ref();
    const ended = new Promise<void>((resolve) => this.#thread.once('exit', () => resolve()));
    this.#thread.postMessage('close');
    await ended;
  }
}
