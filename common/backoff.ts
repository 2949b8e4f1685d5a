/** Exponential backoff with full jitter: spreads the herd that a shared outage makes. Pure arithmetic, no timers. */

export interface BackoffPolicy {
  firstMs: number;
  limitMs: number;
}

/**
 * The pause before try number `attempt` (1 is the first retry), in milliseconds: uniform between half of and the whole
 * of `firstMs · 2^(attempt-1)`, never past `limitMs`. `random` is a number in [0, 1).
 */
export function backoffMs(policy: BackoffPolicy, attempt: number, random: number = Math.random()): number {
  const ceiling = Math.min(policy.limitMs, policy.firstMs * 2 ** Math.min(attempt - 1, 30));
  return ceiling / 2 + (ceiling / 2) * random;
}
