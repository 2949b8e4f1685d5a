/** Rate limits by GCRA (the generic cell rate algorithm): the arithmetic, and a bounded memory of who came when. */
import { LRUCache } from 'lru-cache';

export interface RateLimit {
  /** Sustained events a second. */
  readonly perSecond: number;
  /** Events that may come at once. */
  readonly burst: number;
}

export interface RateAnswer {
  readonly allowed: boolean;
  /** Theoretical arrival time to remember, milliseconds. */
  readonly nextMs: number;
  /** 0 when allowed. */
  readonly retryAfterMs: number;
}

/** One event at `nowMs` for someone whose theoretical arrival time is `theoreticalMs`. Pure. */
export function gcra(limit: RateLimit, theoreticalMs: number, nowMs: number): RateAnswer {
  const intervalMs = 1000 / limit.perSecond;
  // Further ahead than a burst reaches: the clock was set back meanwhile, and nobody is to wait for that.
  const astray = theoreticalMs - nowMs > intervalMs * limit.burst + 1;
  const startMs = astray ? nowMs : Math.max(theoreticalMs, nowMs);
  const waitMs = startMs - nowMs - intervalMs * (limit.burst - 1);
  if (waitMs > 0.001) return { allowed: false, nextMs: theoreticalMs, retryAfterMs: Math.ceil(waitMs) };
  return { allowed: true, nextMs: startMs + intervalMs, retryAfterMs: 0 };
}

/** Remembers up to `size` names; the one unseen for longest is forgotten first. */
export class RateLimiter {
  readonly #limit: RateLimit;
  readonly #seen: LRUCache<string, number>;

  constructor(limit: RateLimit, size = 10_000) {
    this.#limit = limit;
    this.#seen = new LRUCache({ max: size });
  }

  /** Counts one event. */
  take(name: string, nowMs: number): RateAnswer {
    const answer = this.peek(name, nowMs);
    if (answer.allowed) this.#seen.set(name, answer.nextMs);
    return answer;
  }

  /** Whether an event would be allowed, without counting it. */
  peek(name: string, nowMs: number): RateAnswer {
    return gcra(this.#limit, this.#seen.get(name) ?? 0, nowMs);
  }
}
