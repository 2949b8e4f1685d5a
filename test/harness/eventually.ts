/** Waits for something real to come true, by asking again until a deadline: instead of a sleep that guesses. */
import { systemClock } from '#common/clock.ts';

/** The first answer of `ask` that is not an error; the last error when the time is over. */
export async function eventually<T>(
  ask: () => Promise<T> | T,
  { timeoutMs = 10_000, pauseMs = 20 }: { timeoutMs?: number; pauseMs?: number } = {},
): Promise<T> {
  const until = systemClock.elapsed() + timeoutMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (systemClock.elapsed() > until) throw error;
      await systemClock.sleep(pauseMs);
    }
  }
}
