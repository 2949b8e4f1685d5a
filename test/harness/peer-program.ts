/** Foreign programs as oracles. Where one is absent the tests skip with a line, and fail when REQUIRE_PEERS=1. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { describe, test } from 'vitest';

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

const found = (program: string): boolean => spawnSync('which', [program]).status === 0;

/** A `describe` for tests that need these programs. */
export function withPrograms(programs: string[], name: string, define: () => void): void {
  const missing = programs.filter((program) => !found(program) && !found(`/usr/sbin/${program}`));
  if (missing.length === 0) return void describe(name, define);
  const line = `${name}: needs ${missing.join(', ')}, which this machine does not have`;
  if (process.env.REQUIRE_PEERS === '1') {
    test(line, () => {
      throw new Error(line);
    });
  } else {
    console.warn(`skipped: ${line}`);
    describe.skip(line, define);
  }
}

/** Runs a shell script with `set -eu` and gives what it said; a non-zero end is an answer too. */
export function shell(script: string, cwd: string, timeoutMs = 20_000): Ran {
  const done = spawnSync('bash', ['-euc', script], { cwd, encoding: 'utf8', timeout: timeoutMs });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

/** The same for a script that must succeed; its stdout. */
export function sh(script: string, cwd: string): string {
  return execFileSync('bash', ['-euc', script], { cwd, encoding: 'utf8', timeout: 20_000 });
}

/** The same as `shell`, while this process goes on: for programs that speak to a server in it. */
export function run(script: string, cwd: string, timeoutMs = 20_000): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn('bash', ['-euc', script], {
      cwd,
      timeout: timeoutMs,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}
