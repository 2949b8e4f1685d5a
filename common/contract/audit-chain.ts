/**
 * The chain of the audit: how a row follows from the one before, and where a list of rows does not. The registry writes
 * by it; whoever has a copy of the rows checks them by it, with no registry at hand.
 */
import { hash } from 'node:crypto';

/** A row as it is kept and hashed. */
export interface AuditRow {
  /** From 1, without gaps. */
  readonly id: number;
  readonly time_ms: number;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  /** JSON text. */
  readonly detail: string;
  /** Hash of the row before. */
  readonly previous: string;
  readonly hash: string;
}

/** The `previous` of the first row. */
export const auditGenesis = '0'.repeat(64);

/** SHA-256 over the JSON array of previous hash, time, actor, action, target and detail, hex. */
export const auditHash = (
  previous: string,
  { time_ms, actor, action, target, detail }: Omit<AuditRow, 'id' | 'previous' | 'hash'>,
): string => hash('sha256', JSON.stringify([previous, time_ms, actor, action, target, detail]), 'hex');

/** The last row: who knows it from elsewhere notices that rows are missing at the end. */
export interface AuditHead {
  /** Rows, which is the id of the last one; 0 for none. */
  readonly count: number;
  readonly hash: string;
}

export const auditBreaks = ['changed', 'removed', 'inserted', 'reordered', 'rewritten', 'truncated'] as const;
export type AuditBreak = (typeof auditBreaks)[number];

export interface AuditFinding {
  readonly what: AuditBreak;
  /** The first row that is not as it was written, or that is not there. */
  readonly at: number;
  /** For a person. */
  readonly sentence: string;
}

/** So many rows before and after a break are looked at to say what it is. */
const nearby = 10_000;

/** Follows the rows in the order in which they come, and says where they break off, and how. */
export class AuditChain {
  readonly #expected: Partial<AuditHead>;
  /** Whether the expected head was met on the way. */
  #met: boolean;
  #count = 0;
  #hash = auditGenesis;
  #finding: AuditFinding | null = null;
  /** What would make the break a mere change of order, when it comes after all. */
  #wanted: { readonly id: number; readonly hash: string } | null = null;
  #looked = 0;
  /** Hashes of the rows before: a row that follows one of them says that something was put in between. */
  readonly #seen = new Set<string>([auditGenesis]);

  /** `expected`: a head as it is known from elsewhere; rows may have come after it. */
  constructor(expected: Partial<AuditHead> = {}) {
    this.#expected = expected;
    this.#met = expected.hash === undefined || expected.hash === auditGenesis;
  }

  /** As far as the rows follow one another. */
  get head(): AuditHead {
    return { count: this.#count, hash: this.#hash };
  }

  /** Takes the next row. False when there is nothing more to learn from those that come. */
  take(row: AuditRow): boolean {
    if (this.#finding) return this.#look(row);
    this.#finding = this.#judge(row);
    if (this.#finding) {
      this.#wanted = { id: this.#count + 1, hash: row.previous };
      return true;
    }
    this.#count = row.id;
    this.#hash = row.hash;
    const { hash: expected, count = row.id } = this.#expected;
    if (row.hash === expected && row.id === count) this.#met = true;
    this.#remember(row.hash);
    return true;
  }

  /** When there are no more rows: what was found, null when all is as it was written. */
  end(): AuditFinding | null {
    if (this.#finding) return this.#finding;
    const { count, hash: expected } = this.#expected;
    if (count !== undefined && count > this.#count) {
      const sentence = `Rows ${this.#count + 1} to ${count} are missing at the end.`;
      return { what: 'truncated', at: this.#count + 1, sentence };
    }
    if (this.#met) return null;
    if (count !== undefined)
      return {
        what: 'rewritten',
        at: count,
        sentence: `Row ${count} does not have the hash ${expected}: all up to it was rewritten.`,
      };
    const sentence = `No row has the hash ${expected}: rows after ${this.#count} are missing, or all was rewritten.`;
    return { what: 'truncated', at: this.#count + 1, sentence };
  }

  #judge(row: AuditRow): AuditFinding | null {
    const { id } = row;
    const last = this.#count;
    const next = last + 1;
    if (auditHash(row.previous, row) !== row.hash)
      return {
        what: 'changed',
        at: id,
        sentence: `Row ${id} was changed: what it says does not have its hash.`,
      };
    if (row.previous === this.#hash && id === next) return null;
    if (row.previous === this.#hash)
      return { what: 'inserted', at: id, sentence: `Row ${id} stands where row ${next} should be.` };
    if (this.#seen.has(row.previous)) {
      const sentence = `Row ${last} was inserted: row ${id} follows one that is before it.`;
      return { what: 'inserted', at: last, sentence };
    }
    if (id > next) {
      const sentence = `Rows ${next} to ${id - 1} were removed: row ${id} comes after row ${last}.`;
      return { what: 'removed', at: next, sentence };
    }
    if (id < next) return { what: 'reordered', at: id, sentence: `Row ${id} comes after row ${last}.` };
    const sentence = `Row ${id} does not follow from row ${last}: that one was rewritten, or what was between them removed.`;
    return { what: 'rewritten', at: Math.max(1, last), sentence };
  }

  /** After a break: does what is missing come later? */
  #look(row: AuditRow): boolean {
    const { what, at } = this.#finding!;
    const later = what === 'removed' ? row.id === this.#wanted?.id : row.hash === this.#wanted?.hash;
    if (later && what !== 'changed') {
      const sentence = `From row ${this.#count + 1} on the rows are not in their order.`;
      this.#finding = { what: 'reordered', at: what === 'removed' ? at : this.#count + 1, sentence };
      return false;
    }
    this.#looked += 1;
    return this.#looked < nearby && what !== 'changed';
  }

  #remember(digest: string): void {
    this.#seen.add(digest);
    if (this.#seen.size <= nearby) return;
    for (const oldest of this.#seen) {
      this.#seen.delete(oldest);
      return;
    }
  }
}
