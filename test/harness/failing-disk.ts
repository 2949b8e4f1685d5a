/** A house whose disk can be made to fail: started under libfiu, told what fails while it runs. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { House } from './house.ts';

export class FailingDisk implements AsyncDisposable {
  readonly house: House;
  readonly #dir: string;

  private constructor(house: House, dir: string) {
    this.house = house;
    this.#dir = dir;
  }

  static async start(): Promise<FailingDisk> {
    const dir = await mkdtemp(join(tmpdir(), 'fiu-'));
    const wrapper = ['fiu-run', '-x', '-f', join(dir, 'ctrl')];
    return new FailingDisk(await House.start({ wrapper }), dir);
  }

  /** From now on three of ten of these fail with EIO. */
  fail(...calls: ('fsync' | 'fdatasync')[]): void {
    for (const call of calls)
      this.#tell(`enable_random name=posix/io/sync/${call},failinfo=5,probability=0.3`);
  }

  mend(...calls: ('fsync' | 'fdatasync')[]): void {
    for (const call of calls) this.#tell(`disable name=posix/io/sync/${call}`);
  }

  #tell(what: string): void {
    const { pid } = this.house.child;
    execFileSync('fiu-ctrl', ['-f', join(this.#dir, 'ctrl'), '-c', what, String(pid)], { timeout: 5_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.house[Symbol.asyncDispose]();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
