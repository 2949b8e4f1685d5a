/**
 * How an event lies in a batch: a compact binary record. Written once when it is accepted, read when it is delivered.
 *
 *   u32 bytes that follow · u8 class · f64 time · u8 n, fleet · u8 n, device · u16 n, channel · u16 n, content type · payload
 */
import { type DeviceEvent, eventClasses } from '#common/contract/event.ts';

/** Fleet and device as they stand in a record: made once a session. */
export function originBytes(fleet: string, device: string): Buffer {
  const [fleetBytes, deviceBytes] = [Buffer.from(fleet), Buffer.from(device)];
  return Buffer.concat([
    Buffer.from([fleetBytes.length]),
    fleetBytes,
    Buffer.from([deviceBytes.length]),
    deviceBytes,
  ]);
}

/** Bytes of a record, its length word included. Every UTF-16 unit of a text has three bytes of UTF-8 at most. */
export const recordSizeAtMost = (
  origin: Buffer,
  channel: string,
  contentType: string,
  payload: Uint8Array,
): number => 4 + 1 + 8 + origin.length + 2 + channel.length * 3 + 2 + contentType.length * 3 + payload.length;

/** Writes a record at `at`, where there is room for it, and returns where the next one begins. */
export function writeRecord(
  into: Buffer,
  at: number,
  isEvent: boolean,
  timeMs: number,
  origin: Buffer,
  channel: string,
  contentType: string,
  payload: Uint8Array,
): number {
  let next = at + 4;
  into[next++] = isEvent ? 1 : 0;
  next = into.writeDoubleBE(timeMs, next);
  into.set(origin, next);
  next = writeText(into, next + origin.length, channel);
  next = writeText(into, next, contentType);
  into.set(payload, next);
  next += payload.length;
  into.writeUInt32BE(next - at - 4, at);
  return next;
}

function writeText(into: Buffer, at: number, text: string): number {
  const length = text === '' ? 0 : into.write(text, at + 2, 'utf8');
  into.writeUInt16BE(length, at);
  return at + 2 + length;
}

/** The events of a batch, in order. Payloads are views of the batch. */
export function readRecords(batch: Buffer, epoch: string, firstSequence: number): DeviceEvent[] {
  const events: DeviceEvent[] = [];
  let sequence = firstSequence;
  for (let at = 0; at < batch.length; ) {
    const end = at + 4 + batch.readUInt32BE(at);
    events.push(readRecord(batch, at + 4, end, epoch, sequence));
    sequence += 1;
    at = end;
  }
  return events;
}

function readRecord(batch: Buffer, start: number, end: number, epoch: string, sequence: number): DeviceEvent {
  const isEvent = batch[start] === 1;
  const timeMs = batch.readDoubleBE(start + 1);
  let at = start + 9;
  const take = (length: number) => {
    at += length;
    return length === 0 ? '' : batch.toString('utf8', at - length, at);
  };
  const fleet = take(batch[at++]!);
  const device = take(batch[at++]!);
  at += 2;
  const channel = take(batch.readUInt16BE(at - 2));
  at += 2;
  const contentType = take(batch.readUInt16BE(at - 2));
  const id = `${epoch}-${sequence}`;
  return {
    id,
    sequence,
    fleet,
    device,
    class: eventClasses[isEvent ? 1 : 0],
    channel,
    timeMs,
    contentType,
    payload: batch.subarray(at, end),
  };
}
