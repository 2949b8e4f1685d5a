/** The limits of the registry door: enrollments of an address, and how often an address may fail to say who it is. */

import { Fault } from '#common/fault.ts';
import { RateLimiter } from '#common/gcra.ts';
import type { RegistryDoorSettings } from '../settings.ts';

export class RateLimits {
  readonly #enrollments: RateLimiter;
  readonly #failures: RateLimiter;

  constructor(settings: Pick<RegistryDoorSettings, 'enrollRate' | 'failedAuthRate'>) {
    this.#enrollments = new RateLimiter({ perSecond: settings.enrollRate, burst: settings.enrollRate * 2 });
    this.#failures = new RateLimiter({
      perSecond: settings.failedAuthRate / 60,
      burst: settings.failedAuthRate,
    });
  }

  /** Faults `rate-limited`. */
  enrollment(address: string, nowMs: number): void {
    const { allowed, retryAfterMs } = this.#enrollments.take(address, nowMs);
    if (!allowed)
      throw new Fault('rate-limited', 'Too many enrollments from this address; slow down.', { retryAfterMs });
  }

  /** Asked before a credential is looked at. Faults `rate-limited`. */
  mayTry(address: string, nowMs: number): void {
    const { allowed, retryAfterMs } = this.#failures.peek(address, nowMs);
    if (!allowed) {
      throw new Fault('rate-limited', 'Too many failed authentications from this address; wait.', {
        retryAfterMs,
      });
    }
  }

  failed(address: string, nowMs: number): void {
    this.#failures.take(address, nowMs);
  }
}
