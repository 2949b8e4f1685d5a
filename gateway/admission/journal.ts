/**
 * The decision journal: the last decisions at the door, bounded. What is stored is what was known; it is put into words
 * only when somebody asks. Admissions, refusals of known devices, and refusals of strangers are kept apart, and each
 * device, or kind of refusal from one address, has a share of its own: a flood from anywhere pushes out itself.
 */
import type { Decision, DecisionQuery } from '#common/contract/decision.ts';
import type { FaultKind } from '#common/fault.ts';
import { neighbourhood } from '../door/connect-limits.ts';
import { wordsOfFailure } from '../door/handshake-failure.ts';
import { hostOf } from '../door/read-peer.ts';
import { decisionOf } from './decision-of.ts';
import { type ArrivalEntry, type FailureEntry, type JournalEntry, mostAddresses } from './journal-entry.ts';
import { matches } from './journal-query.ts';
import { Shelf } from './shelf.ts';

/** Bytes of certificates that either shelf of refusals keeps. */
const maxLeafBytes = 2 * 1024 * 1024;
/** Of the places on a shelf, one device or one kind of refusal from one address may hold so many: a sixty-fourth. */
const shares = 64;
const leastShare = 4;

export class Journal {
  readonly #gateway: string;
  readonly #admitted: (Numbered | undefined)[];
  #next = 0;
  readonly #known: Shelf<Numbered>;
  readonly #strangers: Shelf<Numbered>;
  /** Of each reason, the count of the second that runs. */
  readonly #counting = new Map<string, TurnedAway>();
  #last = 0;

  /** `size` admissions are kept, and as many refusals. */
  constructor(gateway: string, size: number) {
    this.#gateway = gateway;
    this.#admitted = new Array(size);
    const most = Math.ceil(size / 2);
    const share = Math.max(leastShare, Math.ceil(most / shares));
    this.#known = new Shelf({ most, share, maxWeight: maxLeafBytes });
    this.#strangers = new Shelf({ most, share, maxWeight: maxLeafBytes });
  }

  add(entry: ArrivalEntry): void {
    if (entry.reason === null) {
      this.#admitted[this.#next] = { number: ++this.#last, entry };
      this.#next = (this.#next + 1) % this.#admitted.length;
      return;
    }
    const { arrival, reason, leaf } = entry;
    const weight = leaf?.length ?? 0;
    if (arrival.entry) this.#known.add(arrival.entry.device, this.#number(entry), weight);
    else this.#strangers.add(sourceOf(reason, arrival.peer.address), this.#number(entry), weight);
  }

  /** A handshake that came to nothing. */
  addFailure(entry: FailureEntry): void {
    const { failure } = entry;
    const source = sourceOf(wordsOfFailure(failure).word, failure.address);
    this.#strangers.add(source, this.#number(entry), failure.leaf?.length ?? 0);
  }

  /** One that was ended before TLS for a limit: counted, one entry a second for each reason. */
  addTurnedAway(timeMs: number, protocol: TurnedAway['protocol'], reason: FaultKind, address: string): void {
    const key = `${protocol} ${reason}`;
    const second = Math.floor(timeMs / 1000);
    let counted = this.#counting.get(key);
    if (!counted || Math.floor(counted.timeMs / 1000) !== second) {
      counted = { what: 'turned-away', timeMs, protocol, reason, count: 0, addresses: new Map() };
      this.#counting.set(key, counted);
      this.#strangers.add(key, this.#number(counted), 0);
    }
    counted.count += 1;
    counted.timeMs = timeMs;
    const { addresses } = counted;
    const name = neighbourhood(address);
    const before = addresses.get(name);
    if (before !== undefined || addresses.size < mostAddresses) addresses.set(name, (before ?? 0) + 1);
  }

  /** Newest first. */
  find(query: DecisionQuery): Decision[] {
    const found: Numbered[] = [];
    for (const each of this.#all()) if (matches(each.entry, query)) found.push(each);
    return found
      .sort((a, b) => b.number - a.number)
      .slice(0, query.limit ?? 100)
      .map(({ entry }) => decisionOf(entry, this.#gateway));
  }

  *#all(): Generator<Numbered> {
    for (const each of this.#admitted) if (each) yield each;
    yield* this.#known.items();
    yield* this.#strangers.items();
  }

  #number(entry: JournalEntry): Numbered {
    this.#last += 1;
    return { number: this.#last, entry };
  }
}

/** Numbers give the order: the wall clock may have been set back. */
interface Numbered {
  readonly number: number;
  readonly entry: JournalEntry;
}

type TurnedAway = Extract<JournalEntry, { what: 'turned-away' }>;

const sourceOf = (reason: string, address: string): string => `${reason} ${neighbourhood(hostOf(address))}`;
