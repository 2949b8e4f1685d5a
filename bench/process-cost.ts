/** What a process has cost so far, by the operating system's own books: CPU of all its threads, and resident memory. */
import { readdirSync, readFileSync } from 'node:fs';

/** Microseconds on a CPU, user and system, all live threads; nanosecond accounting of the scheduler. */
export function cpuUs(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return nanoseconds / 1000;
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}
