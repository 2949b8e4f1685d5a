/**
 * A strict reader of DER (X.690, section 10): definite lengths in their shortest form, nothing behind the value, and
 * bounds on size, depth and number of elements. It knows the universal types and no schema.
 */
import { Fault } from '../fault.ts';

/** Identifier octets that certificates use (X.690, section 8.1.2). */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[n]` with a primitive and with a constructed body. */
export const primitive = (number: number): number => 0x80 | number;
export const constructed = (number: number): number => 0xa0 | number;

export interface DerLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
  readonly maxElements: number;
}

/** A certificate of ML-DSA-87 takes 8 kB; a chain that TLS carries is at most 100 kB. */
export const derLimits: DerLimits = { maxBytes: 65_536, maxDepth: 16, maxElements: 8192 };

/** What is wrong with the bytes of a certificate: one word, in `fields.problem` of the fault. */
export const certificateProblems = [
  'encoding',
  'too-large',
  'version',
  'serial-number',
  'algorithm-mismatch',
  'public-key',
  'time',
  'name',
  'general-name',
  'extension',
  'duplicate-extension',
] as const;
export type CertificateProblem = (typeof certificateProblems)[number];

/** The fault `certificate-malformed`, with the problem as a word and the sentence that says where. */
export const malformed = (problem: CertificateProblem, what: string): Fault =>
  new Fault('certificate-malformed', `This certificate cannot be read: ${what}.`, { fields: { problem } });

/** One element: a view of the bytes, never a copy. */
export class Der {
  readonly tag: number;
  /** The elements of a constructed one; empty for a primitive one. */
  readonly items: readonly Der[];
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #bodyStart: number;
  readonly #end: number;

  constructor(bytes: Buffer, start: number, bodyStart: number, end: number, items: readonly Der[]) {
    this.tag = bytes[start]!;
    this.items = items;
    this.#bytes = bytes;
    this.#start = start;
    this.#bodyStart = bodyStart;
    this.#end = end;
  }

  /** Identifier, length and contents. */
  get der(): Buffer {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** The contents alone. */
  get body(): Buffer {
    return this.#bytes.subarray(this.#bodyStart, this.#end);
  }
}

/** Reads one element that fills the bytes. Faults `certificate-malformed` (`encoding`, `too-large`). */
export function readDer(bytes: Buffer, limits: DerLimits = derLimits): Der {
  if (bytes.length > limits.maxBytes) throw malformed('too-large', `it is above ${limits.maxBytes} bytes`);
  const reading = { bytes, left: limits.maxElements, limits };
  const root = readElement(reading, 0, bytes.length, 1);
  if (root.der.length !== bytes.length) throw malformed('encoding', 'bytes follow its end');
  return root;
}

interface Reading {
  readonly bytes: Buffer;
  readonly limits: DerLimits;
  left: number;
}

function readElement(reading: Reading, start: number, limit: number, depth: number): Der {
  const { bytes, limits } = reading;
  if (depth > limits.maxDepth) throw malformed('too-large', `it is nested deeper than ${limits.maxDepth}`);
  if (--reading.left < 0) throw malformed('too-large', `it has more than ${limits.maxElements} elements`);
  if (start + 2 > limit) throw malformed('encoding', 'it ends within an element');
  const tag = bytes[start]!;
  // Neither end-of-contents nor a tag number above 30 occurs in a certificate.
  if (tag === 0 || (tag & 0x1f) === 0x1f) throw malformed('encoding', 'an element has an unknown tag');
  let length = bytes[start + 1]!;
  let bodyStart = start + 2;
  if (length >= 0x80) {
    const count = length & 0x7f;
    // 0x80 is the indefinite form, which DER forbids (section 10.1).
    if (count === 0 || count > 4) throw malformed('encoding', 'a length is not in the definite form');
    if (bodyStart + count > limit) throw malformed('encoding', 'it ends within a length');
    length = bytes.readUIntBE(bodyStart, count);
    if (length < 0x80 || bytes[bodyStart] === 0) {
      throw malformed('encoding', 'a length is not in its shortest form');
    }
    bodyStart += count;
  }
  const end = bodyStart + length;
  if (end > limit) throw malformed('encoding', 'an element is longer than what holds it');

  const items: Der[] = [];
  const isConstructed = (tag & 0x20) !== 0;
  const isUniversal = (tag & 0xc0) === 0;
  if (isUniversal && isConstructed !== (tag === tags.sequence || tag === tags.set)) {
    throw malformed('encoding', 'a string is built of pieces, or a sequence is not');
  }
  if (isConstructed) {
    for (let at = bodyStart; at < end; ) {
      const item = readElement(reading, at, end, depth + 1);
      items.push(item);
      at += item.der.length;
    }
  } else if (isUniversal) checkPrimitive(tag, bytes.subarray(bodyStart, end));
  return new Der(bytes, start, bodyStart, end, items);
}

/** X.690, sections 8 and 11: each value has one encoding. */
function checkPrimitive(tag: number, body: Buffer): void {
  switch (tag) {
    case tags.boolean:
      if (body.length !== 1 || (body[0] !== 0 && body[0] !== 0xff))
        throw malformed('encoding', 'a BOOLEAN is odd');
      return;
    case tags.integer:
      if (body.length === 0) throw malformed('encoding', 'an INTEGER is empty');
      if (body.length > 1 && ((body[0] === 0 && body[1]! < 0x80) || (body[0] === 0xff && body[1]! >= 0x80))) {
        throw malformed('encoding', 'an INTEGER is not in its shortest form');
      }
      return;
    case tags.bitString: {
      const unused = body[0] ?? 8;
      const last = body.length > 1 ? body[body.length - 1]! : 0;
      if (unused > 7 || (body.length === 1 && unused > 0) || (last & ((1 << unused) - 1)) !== 0) {
        throw malformed('encoding', 'the unused bits of a BIT STRING are not zero');
      }
      return;
    }
    case tags.null:
      if (body.length !== 0) throw malformed('encoding', 'a NULL is not empty');
      return;
    case tags.oid:
      if (!isOid(body)) throw malformed('encoding', 'an OBJECT IDENTIFIER is odd');
      return;
  }
}

function isOid(body: Buffer): boolean {
  if (body.length === 0 || body.length > 64 || body[body.length - 1]! >= 0x80) return false;
  // A component does not begin with 0x80, a leading zero (section 8.19.2).
  return body.every((byte, at) => byte !== 0x80 || (at > 0 && body[at - 1]! >= 0x80));
}

/** Dotted decimal; of an element with a context tag too. Faults `certificate-malformed`. */
export function oidOf({ body }: Der): string {
  if (!isOid(body)) throw malformed('encoding', 'an OBJECT IDENTIFIER is odd');
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const byte of body) {
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (byte >= 0x80) continue;
    if (arcs.length === 0) {
      const first = arc < 40n ? 0n : arc < 80n ? 1n : 2n;
      arcs.push(first, arc - first * 40n);
    } else arcs.push(arc);
    arc = 0n;
  }
  return arcs.join('.');
}

/** The octets of a BIT STRING that fills them. Faults `certificate-malformed`. */
export function wholeOctets({ body }: Der, what: string): Buffer {
  if (body[0] !== 0) throw malformed('encoding', `${what} is not whole octets`);
  return body.subarray(1);
}

/** A small INTEGER that is not negative. Faults `certificate-malformed`. */
export function smallInteger({ body }: Der, what: string): number {
  if (body.length > 4 || body[0]! >= 0x80) throw malformed('encoding', `${what} is out of range`);
  return body.readUIntBE(0, body.length);
}

/** The fields of a SEQUENCE, one after the other, as a schema names them. */
export class Fields {
  readonly #items: readonly Der[];
  readonly #what: string;
  #at = 0;

  /** `what` names the structure in faults. */
  constructor(element: Der, what: string, tag: number = tags.sequence) {
    if (element.tag !== tag) throw malformed('encoding', `${what} has the wrong type`);
    this.#items = element.items;
    this.#what = what;
  }

  get left(): number {
    return this.#items.length - this.#at;
  }

  /** The tag of the next field; 0 when there is none. */
  get nextTag(): number {
    return this.#items[this.#at]?.tag ?? 0;
  }

  /** The next field whatever its tag. */
  any(name: string): Der {
    const item = this.#items[this.#at++];
    if (!item) throw malformed('encoding', `${this.#what} has no ${name}`);
    return item;
  }

  take(tag: number, name: string): Der {
    if (this.nextTag !== tag) throw malformed('encoding', `${this.#what} has no ${name} where it should be`);
    return this.any(name);
  }

  /** An OPTIONAL field. */
  takeIf(tag: number): Der | null {
    return this.nextTag === tag ? this.any('') : null;
  }

  /** Nothing may follow. */
  end(): void {
    if (this.left > 0) throw malformed('encoding', `${this.#what} has a field too many`);
  }
}
