/** The inbox: what a frame costs that comes byte by byte, and what is kept of bytes that were only lent. */
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { type FrameTaker, Inbox } from '../../../../gateway/mqtt/inbox.ts';
import { packet } from '../../../harness/raw-mqtt.ts';

class Taker implements FrameTaker {
  readonly frameLimit = 300_000;
  readonly awaitsConnect = false;
  readonly frames: Buffer[] = [];

  takeFrame(_head: number, data: Buffer, frameStart: number, _start: number, end: number): boolean {
    this.frames.push(Buffer.from(data.subarray(frameStart, end)));
    return true;
  }
}

test('a frame of 256 KiB that comes byte by byte is not copied anew for each', () => {
  const taker = new Taker();
  const inbox = new Inbox(taker);
  const bytes = packet(0x30, 'devices/pump-1/telemetry', [...Buffer.alloc(262_144, 7)]);
  const lent = Buffer.alloc(1);
  const beforeMs = systemClock.elapsed();
  for (const byte of bytes) {
    lent[0] = byte;
    inbox.read(lent);
  }
  // Copying all of it for each byte takes many seconds.
  expect(systemClock.elapsed() - beforeMs).toBeLessThan(2500);
  expect(taker.frames).toHaveLength(1);
  expect(taker.frames[0]!.equals(bytes)).toBe(true);
  expect(inbox.waiting).toBe(0);
});
