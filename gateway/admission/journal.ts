/** The decision journal: the last decisions at the door, in a ring of fixed size. What is stored is what was known; it is
 * put into words only when somebody asks. */
import { timestamp } from '#common/clock.ts';
import type { Decision, DecisionCheck, DecisionQuery } from '#common/contract/decision.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import type { FaultKind } from '#common/fault.ts';
import { type Arrival, admit } from './admit.ts';

export interface JournalEntry {
  readonly timeMs: number;
  readonly protocol: Protocol;
  readonly arrival: Arrival;
  /** Null when admitted. */
  readonly reason: FaultKind | null;
  /** Set when it was refused for something that the checks of admission do not know: a deadline, a Will. */
  readonly beyond: string | null;
}

export class Journal {
  readonly #gateway: string;
  readonly #ring: (JournalEntry | undefined)[];
  #next = 0;

  constructor(gateway: string, size: number) {
    this.#gateway = gateway;
    this.#ring = new Array(size);
  }

  add(entry: JournalEntry): void {
    this.#ring[this.#next] = entry;
    this.#next = (this.#next + 1) % this.#ring.length;
  }

  /** Newest first. */
  find(query: DecisionQuery): Decision[] {
    const found: Decision[] = [];
    for (let back = 1; back <= this.#ring.length && found.length < (query.limit ?? 100); back++) {
      const entry = this.#ring[(this.#next - back + this.#ring.length) % this.#ring.length];
      if (!entry) break;
      if (matches(entry, query)) found.push(this.#tell(entry));
    }
    return found;
  }

  #tell({ timeMs, protocol, arrival, reason, beyond }: JournalEntry): Decision {
    const checks: DecisionCheck[] = [...admit(arrival).checks];
    if (beyond !== null) checks.push({ name: reason ?? 'session', passed: false, detail: beyond });
    return {
      time: timestamp(timeMs),
      gateway: this.#gateway,
      protocol,
      address: arrival.peer.address,
      device: arrival.entry?.device ?? null,
      fingerprint: arrival.peer.fingerprint,
      clientId: arrival.clientId,
      admitted: reason === null,
      reason,
      checks,
    };
  }
}

const matches = ({ arrival, reason }: JournalEntry, query: DecisionQuery): boolean =>
  (query.device === undefined || arrival.entry?.device === query.device) &&
  (query.fingerprint === undefined || arrival.peer.fingerprint === query.fingerprint) &&
  (query.reason === undefined || reason === query.reason);
