/**
 * The only file that reads the time or sets a timer: everything else is handed a Clock, so that tests can hold it still.
 */

/** Stops what it stands for; calling it twice is harmless. */
export type Cancel = () => void;

export interface Clock {
  /** Wall clock, milliseconds since 1970. It may jump. */
  now(): number;
  /** Milliseconds that only ever grow, with fractions; for durations. */
  elapsed(): number;
  /** Runs once. The timer does not keep the process alive. */
  after(delayMs: number, run: () => void): Cancel;
  /** Runs again and again, each pause varied by up to `jitter` (0–1) of it. Does not keep the process alive. */
  every(periodMs: number, run: () => void, jitter?: number): Cancel;
  /** Resolves after the delay, at once when the signal aborts. Keeps the process alive while it waits. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** Longest delay that setTimeout takes, about 24.8 days; longer ones fire at once. */
const longestDelayMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(delayMs, longestDelayMs));
    timer.unref();
    return () => clearTimeout(timer);
  },
  every(periodMs, run, jitter = 0) {
    let cancel: Cancel = () => {};
    const arm = () => {
      cancel = systemClock.after(periodMs * (1 + jitter * (Math.random() * 2 - 1)), () => {
        arm();
        run();
      });
    };
    arm();
    return () => cancel();
  },
  sleep(delayMs, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const finish = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', finish);
        resolve();
      };
      const timer = setTimeout(finish, Math.min(delayMs, longestDelayMs));
      signal?.addEventListener('abort', finish, { once: true });
    });
  },
};

/** An RFC 3339 timestamp in UTC with milliseconds. */
export const timestamp = (epochMs: number): string => new Date(epochMs).toISOString();

/** Milliseconds since 1970 of an RFC 3339 timestamp; NaN when it is none. */
export const parseTimestamp = (text: string): number => Date.parse(text);

/** For libraries that insist on a Date. */
export const dateOf = (epochMs: number): Date => new Date(epochMs);
