/**
 * The file backend: NDJSON, one CloudEvent a line, on disk before it counts as delivered; a new file by size and age. Several
 * processes may write into one folder, each files of its own label.
 */
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, timestamp } from '#common/clock.ts';
import type { DeviceEvent } from '#common/contract/event.ts';
import type { FileBackendSettings } from '../../settings.ts';
import { cloudEventJson } from '../cloud-event.ts';
import type { Backend, Delivery } from './backend.ts';

export class FileBackend implements Backend {
  readonly batch = 10_000;
  readonly #dir: string;
  readonly #settings: FileBackendSettings;
  readonly #clock: Clock;
  /** Ends the names of its files. */
  readonly #suffix: string;
  #file: FileHandle | undefined;
  #bytes = 0;
  #openedAtMs = 0;

  private constructor(dir: string, settings: FileBackendSettings, clock: Clock, suffix: string) {
    this.#dir = dir;
    this.#settings = settings;
    this.#clock = clock;
    this.#suffix = suffix;
  }

  /** Makes the folder, and cuts the torn last line that a crash may have left: its event is still in the spool. */
  static async open(
    dir: string,
    settings: FileBackendSettings,
    clock: Clock,
    label = '',
  ): Promise<FileBackend> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const last = (await readdir(dir))
      .filter((name) => labelOf(name) === label)
      .sort()
      .at(-1);
    if (last) await cutTornLine(join(dir, last));
    const suffix = label === '' ? '.ndjson' : `.${label}.ndjson`;
    return new FileBackend(dir, settings, clock, suffix);
  }

  async deliver(events: readonly DeviceEvent[]): Promise<Delivery> {
    const lines: string[] = [];
    for (const event of events) lines.push(cloudEventJson(event));
    const bytes = Buffer.from(`${lines.join('\n')}\n`);
    try {
      const file = await this.#current();
      await writeAll(file, bytes);
      await file.datasync();
      this.#bytes += bytes.length;
      return { outcome: 'accepted' };
    } catch (thrown) {
      // What was written of it may be torn: go on in another file, and repair this one.
      await this.#abandon();
      return { outcome: 'retry', reason: (thrown as Error).message };
    }
  }

  async #current(): Promise<FileHandle> {
    const nowMs = this.#clock.now();
    const full =
      this.#bytes >= this.#settings.rotateSize || nowMs - this.#openedAtMs >= this.#settings.rotateInterval;
    if (this.#file && !full) return this.#file;
    await this.#file?.close();
    this.#file = undefined;
    this.#file = await this.#create(nowMs);
    this.#bytes = 0;
    this.#openedAtMs = nowMs;
    return this.#file;
  }

  /** Names sort by time and are never used twice. */
  async #create(nowMs: number): Promise<FileHandle> {
    const stem = timestamp(nowMs).replaceAll(':', '-');
    for (let copy = 0; ; copy++) {
      try {
        const file = await open(
          join(this.#dir, `${stem}${copy === 0 ? '' : `-${copy}`}${this.#suffix}`),
          'ax',
          0o600,
        );
        await this.#syncFolder().catch(async (thrown) => {
          await file.close();
          throw thrown;
        });
        return file;
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
      }
    }
  }

  /** A file is there after a crash only when its folder says so on disk. */
  async #syncFolder(): Promise<void> {
    const dir = await open(this.#dir);
    try {
      await dir.sync();
    } finally {
      await dir.close();
    }
  }

  async #abandon(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (!file) return;
    try {
      await file.truncate(this.#bytes);
    } catch {
      // The disk is in trouble; the torn end is cut when the folder is opened again.
    }
    await file.close().catch(() => {
      // Nothing is left to be done with it.
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
  }
}

/** `2026-01-02T03-04-05.678Z-1.2.ndjson` is of label 2, without the `.2` of the empty one; null for a file of somebody else. */
function labelOf(name: string): string | null {
  const match = /^[^.]+\.\d{3}Z(?:-\d+)?(?:\.(.+))?\.ndjson$/.exec(name);
  return match && (match[1] ?? '');
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

async function cutTornLine(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const { size } = await file.stat();
    const piece = Buffer.alloc(64 * 1024);
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - piece.length);
      const { bytesRead } = await file.read(piece, 0, end - start, start);
      const newline = piece.subarray(0, bytesRead).lastIndexOf(0x0a);
      if (newline >= 0) {
        if (start + newline + 1 < size) await file.truncate(start + newline + 1);
        return;
      }
      end = start;
    }
    await file.truncate(0);
  } finally {
    await file.close();
  }
}
