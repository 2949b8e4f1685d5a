/**
 * A cursor over DER that copies and builds nothing, for structures of a million elements. common/x509/der.ts, which
 * checks more, is for all others.
 */
import { malformed } from '#common/x509/der.ts';

export class Tlv {
  readonly bytes: Buffer;
  /** Where the next element begins, and where the last must end. */
  at: number;
  readonly limit: number;
  /** Where the element that was entered begins, with its tag. */
  readonly outerStart: number;

  constructor(bytes: Buffer, at: number, limit: number, outerStart = at) {
    this.bytes = bytes;
    this.at = at;
    this.limit = limit;
    this.outerStart = outerStart;
  }

  get done(): boolean {
    return this.at >= this.limit;
  }

  /** The tag of the next element; 0 when there is none. */
  peek(): number {
    return this.done ? 0 : this.bytes[this.at]!;
  }

  /** The next element, which must have the tag, as a cursor over what it holds. Faults `certificate-malformed`. */
  enter(tag: number): Tlv {
    const start = this.at;
    const bodyStart = this.#step(tag);
    return new Tlv(this.bytes, bodyStart, this.at, start);
  }

  /** The next element, tag and all, as a view. */
  take(tag: number): Buffer {
    const start = this.at;
    this.#step(tag);
    return this.bytes.subarray(start, this.at);
  }

  any(): Buffer {
    return this.take(this.peek());
  }

  /** The contents of the next element, as a view. */
  body(tag: number): Buffer {
    return this.bytes.subarray(this.#step(tag), this.at);
  }

  end(): void {
    if (!this.done) throw malformed('encoding', 'a field too many');
  }

  /** Past the next element; where its contents begin. */
  #step(tag: number): number {
    const { bytes, limit } = this;
    if (this.at + 2 > limit || bytes[this.at] !== tag)
      throw malformed('encoding', 'an element is not where it should be');
    let length = bytes[this.at + 1]!;
    let bodyStart = this.at + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 4 || bodyStart + count > limit)
        throw malformed('encoding', 'a length is odd');
      length = bytes.readUIntBE(bodyStart, count);
      bodyStart += count;
    }
    if (bodyStart + length > limit) throw malformed('encoding', 'it ends within an element');
    this.at = bodyStart + length;
    return bodyStart;
  }
}
