/** Finds the frames in a stream of bytes (MQTT 5, section 2.1): sizes are judged as soon as they are announced. */

/** What `scanFrame` found; one object a process, read before the next call. */
export interface Frame {
  /** First byte: packet type and flags. */
  head: number;
  /** Where the body begins and ends. */
  start: number;
  end: number;
}

export const incomplete = 0;
export const tooLarge = 1;
export const malformedLength = 2;
export const whole = 3;
export type Scan = typeof incomplete | typeof tooLarge | typeof malformedLength | typeof whole;

/**
 * Looks for a frame at `at`. `maxBytes` bounds the whole packet, header included, and is judged by the length that is
 * announced, before the body is there. Fills `frame` when the answer is `whole`.
 */
export function scanFrame(data: Buffer, at: number, maxBytes: number, frame: Frame): Scan {
  const size = data.length;
  if (at + 2 > size) return incomplete;
  let length = 0;
  let next = at + 1;
  for (let shift = 0; ; shift += 7) {
    // A fifth byte of length is an error [MQTT-1.5.5-1].
    if (shift > 21) return malformedLength;
    if (next >= size) return incomplete;
    const byte = data[next++]!;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  if (next - at + length > maxBytes) return tooLarge;
  if (next + length > size) return incomplete;
  frame.head = data[at]!;
  frame.start = next;
  frame.end = next + length;
  return whole;
}
