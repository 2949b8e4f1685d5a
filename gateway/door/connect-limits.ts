/** Limits before TLS: how many connections, and how fast they come, over all, from one address and from
 * one network. One set for all doors. What it remembers is bounded, however many addresses an attacker has: places by
 * `limits.connections`, rates by a number of names of which the one unseen for longest goes first. */
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
  readonly #perNetwork: RateLimiter;
  readonly #open = new Map<string, number>();
  #openCount = 0;

  constructor(settings: LimitSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    const limit = (perSecond: number) => ({ perSecond, burst: perSecond * burstSeconds });
    this.#all = new RateLimiter(limit(settings.connectRate), 1);
    this.#perAddress = new RateLimiter(limit(settings.connectRatePerAddress));
    this.#perNetwork = new RateLimiter(limit(settings.connectRatePerNetwork));
  }

  /** Takes a place for a connection from an address, or says why there is none. */
  enter(address: string): FaultKind | null {
    const settings = this.#settings;
    const name = neighbourhood(address);
    const network = networkOf(name);
    const here = this.#open.get(name) ?? 0;
    const around = this.#open.get(network) ?? 0;
    if (
      this.#openCount >= settings.connections ||
      here >= settings.connectionsPerAddress ||
      around >= settings.connectionsPerNetwork
    )
      return 'connection-limit';
    const nowMs = this.#clock.elapsed();
    // From the smallest to the largest: whoever is refused takes nothing away from those around.
    if (
      !this.#perAddress.take(name, nowMs).allowed ||
      !this.#perNetwork.take(network, nowMs).allowed ||
      !this.#all.take('', nowMs).allowed
    )
      return 'connection-rate';
    this.#open.set(name, here + 1);
    this.#open.set(network, around + 1);
    this.#openCount += 1;
    return null;
  }

  /** Gives the place back. */
  leave(address: string): void {
    const name = neighbourhood(address);
    this.#less(name);
    this.#less(networkOf(name));
    this.#openCount -= 1;
  }

  #less(name: string): void {
    const count = this.#open.get(name) ?? 0;
    if (count > 1) this.#open.set(name, count - 1);
    else this.#open.delete(name);
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

/** The network around a neighbourhood: the /24 of an IPv4 address, the /48 of an IPv6 one, which is what a site is given
 * (RFC 6177, section 2). */
export function networkOf(neighbour: string): string {
  if (!neighbour.includes(':')) return `${neighbour.slice(0, neighbour.lastIndexOf('.'))}.0/24`;
  return `${neighbour.slice(0, neighbour.lastIndexOf(':'))}::/48`;
}
