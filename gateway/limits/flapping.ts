/**
 * Devices that come and go too often are kept out for a while, which grows when they go on like that. Most devices are
 * never remembered: one that comes back within the window is known from a table of fixed size, and only it is counted.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '#common/clock.ts';
import type { DirectoryEntry } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import { gcra } from '#common/gcra.ts';

export interface FlappingOptions {
  clock: Clock;
  /** More connects than these in the window. */
  connects: number;
  windowMs: number;
  /** Of the first ban; each that follows soon is twice as long as the one before. */
  banMs: number;
  longestBanMs: number;
  /** Devices that are counted; the one unseen for longest goes first. */
  size?: number;
  onBan: () => void;
}

interface Restless {
  theoreticalMs: number;
  bans: number;
  bannedUntilMs: number;
}

/** Who came last, one an entry of the table: by a part of the fingerprint, with the second in which it was. */
const tableSize = 65_536;

export class Flapping {
  readonly #options: FlappingOptions;
  readonly #recent = new Uint32Array(tableSize);
  readonly #restless: LRUCache<string, Restless>;

  constructor(options: FlappingOptions) {
    this.#options = options;
    this.#restless = new LRUCache({ max: options.size ?? 10_000 });
  }

  /** A device that may come in otherwise: null, or why not now. */
  judge({ device, fingerprint }: DirectoryEntry): Fault | null {
    const nowMs = this.#options.clock.elapsed();
    const known = this.#restless.get(device);
    if (!known) {
      if (this.#wasHere(fingerprint, nowMs)) this.#restless.set(device, this.#begin(nowMs));
      return null;
    }
    if (nowMs < known.bannedUntilMs) return tooOften(known.bannedUntilMs - nowMs);
    const { connects, windowMs } = this.#options;
    const limit = { perSecond: (connects * 1000) / windowMs, burst: connects };
    const { allowed, nextMs } = gcra(limit, known.theoreticalMs, nowMs);
    known.theoreticalMs = nextMs;
    return allowed ? null : this.#ban(known, nowMs);
  }

  /** The connect before this one, and this one. */
  #begin(nowMs: number): Restless {
    const { connects, windowMs } = this.#options;
    return { theoreticalMs: nowMs + (2 * windowMs) / connects, bans: 0, bannedUntilMs: 0 };
  }

  #ban(restless: Restless, nowMs: number): Fault {
    const { banMs, longestBanMs, onBan } = this.#options;
    // Whoever has behaved for as long as the longest ban begins anew.
    if (nowMs - restless.bannedUntilMs > longestBanMs) restless.bans = 0;
    const forMs = Math.min(longestBanMs, banMs * 2 ** Math.min(restless.bans, 30));
    restless.bans += 1;
    restless.bannedUntilMs = nowMs + forMs;
    // After the ban it has a whole window again.
    restless.theoreticalMs = 0;
    onBan();
    return tooOften(forMs);
  }

  /** Notes that it came. Two devices that fall together now and then are taken for one that came back: it is counted, no more. */
  #wasHere(fingerprint: string, nowMs: number): boolean {
    const hash = Number.parseInt(fingerprint.slice(0, 8), 16);
    const second = Math.floor(nowMs / 1000) & 0xffff;
    const place = hash & (tableSize - 1);
    const before = this.#recent[place]!;
    this.#recent[place] = ((hash & 0xffff0000) | second) >>> 0;
    const seconds = (second - (before & 0xffff)) & 0xffff;
    return before >>> 16 === hash >>> 16 && seconds * 1000 <= this.#options.windowMs;
  }
}

const tooOften = (retryAfterMs: number): Fault =>
  new Fault(
    'flapping',
    `This device has come and gone too often; it may come again in ${Math.ceil(retryAfterMs / 1000)} s. Let its pauses grow.`,
    { retryAfterMs },
  );
