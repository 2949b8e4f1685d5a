/** Lines out of a stream of bytes, one at a time, none longer than a bound: what is longer is passed over, and said so. */
import { isUtf8 } from 'node:buffer';

export interface StreamLine {
  /** Counting from 1. */
  readonly number: number;
  /** Null when it is too long, or not UTF-8. */
  readonly text: string | null;
}

const newline = 0x0a;

/** Blank lines are counted and not given. Holds `maxBytes` and one chunk at most. */
export async function* linesOf(stream: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<StreamLine> {
  let number = 1;
  let held: Buffer[] = [];
  let bytes = 0;
  const hold = (part: Buffer) => {
    bytes += part.length;
    if (bytes <= maxBytes) held.push(part);
    else held = [];
  };
  const take = (): StreamLine | undefined => {
    const whole = Buffer.concat(held);
    const isReadable = bytes <= maxBytes && isUtf8(whole);
    const line = { number, text: isReadable ? whole.toString('utf8').trim() : null };
    number += 1;
    held = [];
    bytes = 0;
    return line.text === '' ? undefined : line;
  };
  for await (const chunk of stream) {
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      hold(chunk.subarray(from, at));
      from = at + 1;
      const line = take();
      if (line) yield line;
    }
    hold(chunk.subarray(from));
  }
  const last = take();
  if (last) yield last;
}
