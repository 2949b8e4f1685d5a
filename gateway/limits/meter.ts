/**
 * Counts what one device sends, in several windows at once: GCRA, the generic cell rate algorithm, on plain numbers. A
 * message passes when every window has room for it, and only then counts in any.
 */
import { type MessageLimits, type RateWindow, windowsOf } from '#common/contract/message-limits.ts';

export class Meter {
  /** What it was made of, to see whether something else counts by now. */
  readonly limits: MessageLimits;
  readonly #windows: readonly RateWindow[];
  /** Theoretical arrival times, one a window. */
  readonly #theoreticalMs: number[];
  #pressedSinceMs: number | null = null;

  constructor(limits: MessageLimits) {
    this.limits = limits;
    this.#windows = windowsOf(limits);
    this.#theoreticalMs = this.#windows.map(() => 0);
  }

  /** 0 when it was counted; else milliseconds until there is room, and nothing was counted. */
  take(messages: number, bytes: number, nowMs: number): number {
    const windows = this.#windows;
    const theoretical = this.#theoreticalMs;
    let waitMs = 0;
    for (let index = 0; index < windows.length; index++) {
      const window = windows[index]!;
      const startMs = Math.max(theoretical[index]!, nowMs);
      waitMs = Math.max(waitMs, startMs + costMs(window, messages, bytes) - window.periodMs - nowMs);
    }
    if (waitMs > 0.001) {
      this.#pressedSinceMs ??= nowMs;
      return Math.ceil(waitMs);
    }
    let eased = true;
    for (let index = 0; index < windows.length; index++) {
      const window = windows[index]!;
      const startMs = Math.max(theoretical[index]!, nowMs);
      if (startMs - nowMs > window.periodMs / 2) eased = false;
      theoretical[index] = startMs + costMs(window, messages, bytes);
    }
    if (eased) this.#pressedSinceMs = null;
    return 0;
  }

  /** Since it first had no room, and has not been half empty again; 0 while it has. */
  pressedForMs(nowMs: number): number {
    return this.#pressedSinceMs === null ? 0 : nowMs - this.#pressedSinceMs;
  }
}

/** More than a window holds passes when the window is empty: it could never pass otherwise. */
function costMs({ of, amount, periodMs }: RateWindow, messages: number, bytes: number): number {
  return Math.min(periodMs, ((of === 'messages' ? messages : bytes) * periodMs) / amount);
}
