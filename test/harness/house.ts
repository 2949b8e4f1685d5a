/** The whole house as its users meet it: `fleetgate up` in a process of its own, on free ports, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ApiClient, apiClient } from './api-client.ts';

export const command = fileURLToPath(new URL('../../bin/fleetgate', import.meta.url));

export interface Doors {
  mqtts: string;
  https: string;
  registry: string;
  pki: string;
  ops: string;
  ca: string;
  adminTokenFile: string;
}

export interface HouseOptions {
  /** Configuration as YAML. */
  config?: string;
  /** Folder to use and to leave behind; a temporary one otherwise. */
  dir?: string;
  args?: string[];
  /** Processes that hear devices; all in one by default. */
  workers?: number;
  env?: NodeJS.ProcessEnv;
  /** A program that starts the house, such as a fault injector. */
  wrapper?: string[];
}

const anyPort = ['mqtts', 'https', 'registry', 'pki', 'ops'].flatMap((door) => [`--${door}-port`, '0']);

export class House implements AsyncDisposable {
  readonly dir: string;
  readonly doors: Doors;
  readonly child: ChildProcess;
  readonly api: ApiClient;
  /** What it wrote to stderr so far. */
  readonly log: string[];
  readonly #keep: boolean;

  private constructor(parts: {
    dir: string;
    doors: Doors;
    child: ChildProcess;
    api: ApiClient;
    log: string[];
    keep: boolean;
  }) {
    this.dir = parts.dir;
    this.doors = parts.doors;
    this.child = parts.child;
    this.api = parts.api;
    this.log = parts.log;
    this.#keep = parts.keep;
  }

  /** Resolves when every door is open; fails with its log when the process ends before. */
  static async start(options: HouseOptions = {}): Promise<House> {
    const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'house-')));
    const { workers = 1, args: more = [] } = options;
    const args = ['up', '--data', join(dir, 'data'), '--workers', String(workers), ...anyPort, ...more];
    if (options.config) {
      await writeFile(join(dir, 'fleetgate.yaml'), options.config);
      args.push('--config', join(dir, 'fleetgate.yaml'));
    }
    const { child, doors, log } = await startCommand<Doors>(args, options.env, options.wrapper);
    child.once('exit', (code, signal) => {
      // One that nobody ended has something to say.
      if (code !== 0 && signal !== 'SIGKILL')
        console.error(`fleetgate ended by itself (${code ?? signal}):\n${log.slice(-40).join('\n')}`);
    });
    const token = (await readFile(doors.adminTokenFile, 'utf8')).trim();
    const api = apiClient(doors.registry, await readFile(doors.ca, 'utf8'), token);
    return new House({ dir, doors, child, api, log, keep: options.dir !== undefined });
  }

  port(door: 'mqtts' | 'https' | 'registry' | 'pki' | 'ops'): number {
    return Number(new URL(this.doors[door]).port);
  }

  /** The events that the default file backend holds, in order. */
  async delivered(): Promise<Record<string, unknown>[]> {
    return readEvents(join(this.dir, 'data', 'telemetry'));
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    return end(this.child, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api.close();
    await this.kill('SIGTERM');
    if (!this.#keep) await rm(this.dir, { recursive: true, force: true });
  }
}

/** Runs a server command of the CLI until its `ready` line. */
export async function startCommand<Ready>(
  args: string[],
  env?: NodeJS.ProcessEnv,
  wrapper: string[] = [],
): Promise<{ child: ChildProcess; doors: Ready; log: string[] }> {
  const [program = '', ...rest] = [...wrapper, process.execPath, command, ...args];
  const child = spawn(program, rest, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: string[] = [];
  createInterface({ input: child.stderr! }).on('line', (line) => log.push(line));
  for await (const line of createInterface({ input: child.stdout! })) {
    if (line.startsWith('ready ')) return { child, doors: JSON.parse(line.slice(6)) as Ready, log };
  }
  throw new Error(`fleetgate ${args.join(' ')} ended before it was ready:\n${log.join('\n')}`);
}

/** Ends a child that we started and resolves with its exit code, null after a signal. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  child.kill(signal);
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

/** Every event in a folder of NDJSON files, in the order of the files; a line that is still being written is left out. */
export async function readEvents(folder: string): Promise<Record<string, unknown>[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const events: Record<string, unknown>[] = [];
  for (const name of names.filter((name) => name.endsWith('.ndjson')).sort()) {
    const lines = (await readFile(join(folder, name), 'utf8')).split('\n').slice(0, -1);
    for (const line of lines) events.push(JSON.parse(line));
  }
  return events;
}
