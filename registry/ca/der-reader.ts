/**
 * Reads DER strictly, one value after the other, without copying: every length definite, shortest and within its
 * parent (X.690, section 10.1). It does not know what the values mean.
 */
import { Fault } from '#common/fault.ts';

export class DerReader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** Identifier octet of the next value; -1 at the end. */
  get tag(): number {
    return this.#at < this.#end ? this.#bytes[this.#at]! : -1;
  }

  get atEnd(): boolean {
    return this.#at === this.#end;
  }

  /** The contents of the next value. Faults `malformed` when it has another tag. */
  take(tag: number): Buffer {
    const start = this.#contents(tag);
    return this.#bytes.subarray(start, this.#at);
  }

  /** The next value with its header. */
  takeWhole(tag: number): Buffer {
    const start = this.#at;
    this.#contents(tag);
    return this.#bytes.subarray(start, this.#at);
  }

  /** A reader of the contents of the next value. */
  enter(tag: number): DerReader {
    const start = this.#contents(tag);
    return new DerReader(this.#bytes, start, this.#at);
  }

  /** Passes over the next value, whatever it is. */
  skip(): void {
    this.#contents(this.tag);
  }

  /** Faults `malformed` when something is left. */
  finish(): void {
    if (!this.atEnd) throw malformed('something follows the last field');
  }

  /** Moves past the next value; where its contents begin. */
  #contents(tag: number): number {
    if (this.#end - this.#at < 2 || this.#bytes[this.#at] !== tag)
      throw malformed('another field was expected');
    const first = this.#bytes[this.#at + 1]!;
    let start = this.#at + 2;
    let length = first;
    if (first >= 0x80) {
      const octets = first & 0x7f;
      if (octets === 0 || octets > 4 || this.#end - start < octets) throw malformed('a length is broken');
      length = this.#bytes.readUIntBE(start, octets);
      if (length < 0x80 || length < 2 ** (8 * (octets - 1))) throw malformed('a length is not the shortest');
      start += octets;
    }
    if (length > this.#end - start) throw malformed('a length goes beyond the end');
    this.#at = start + length;
    return start;
  }
}

export const malformed = (what: string): Fault =>
  new Fault('malformed', `This is not the DER it should be: ${what}.`);
