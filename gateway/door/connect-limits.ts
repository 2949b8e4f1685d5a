/** Limits before TLS: how many connections, and how fast they come, over all and from one address. One set for all doors. */
import type { Clock } from '#common/clock.ts';
import type { FaultKind } from '#common/fault.ts';
import { RateLimiter } from '#common/gcra.ts';
import type { LimitSettings } from '../settings.ts';

/** Bursts of so many seconds' worth pass. */
const burstSeconds = 2;

export class ConnectLimits {
  readonly #settings: LimitSettings;
  readonly #clock: Clock;
  readonly #all: RateLimiter;
  readonly #perAddress: RateLimiter;
  readonly #open = new Map<string, number>();
  #openCount = 0;

  constructor(settings: LimitSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    const limit = (perSecond: number) => ({ perSecond, burst: perSecond * burstSeconds });
    this.#all = new RateLimiter(limit(settings.connectRate), 1);
    this.#perAddress = new RateLimiter(limit(settings.connectRatePerAddress));
  }

  /** Takes a place for a connection from an address, or says why there is none. */
  enter(address: string): FaultKind | null {
    const name = neighbourhood(address);
    const here = this.#open.get(name) ?? 0;
    if (this.#openCount >= this.#settings.connections || here >= this.#settings.connectionsPerAddress) {
      return 'connection-limit';
    }
    const nowMs = this.#clock.elapsed();
    if (!this.#perAddress.take(name, nowMs).allowed || !this.#all.take('', nowMs).allowed)
      return 'connection-rate';
    this.#open.set(name, here + 1);
    this.#openCount += 1;
    return null;
  }

  /** Gives the place back. */
  leave(address: string): void {
    const name = neighbourhood(address);
    const here = this.#open.get(name) ?? 0;
    if (here > 1) this.#open.set(name, here - 1);
    else this.#open.delete(name);
    this.#openCount -= 1;
  }
}

/** An IPv6 host holds a /64 at least, so that is what counts as one address; IPv4 in IPv6 counts as IPv4. */
export function neighbourhood(address: string): string {
  if (!address.includes(':')) return address;
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice(7);
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail ? tail.split(':') : [];
  const missing = tail === undefined ? 0 : 8 - groups.length - rest.length;
  return [...groups, ...Array<string>(Math.max(0, missing)).fill('0'), ...rest].slice(0, 4).join(':');
}
