/** Frames: any cut of the stream gives the same frames, sizes are judged when announced, and noise never throws more than a Fault. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '#common/fault.ts';
import { readConnect } from '../../../../gateway/mqtt/connect-packet.ts';
import {
  type Frame,
  incomplete,
  malformedLength,
  scanFrame,
  tooLarge,
  whole,
} from '../../../../gateway/mqtt/frame.ts';
import { readSubscribe } from '../../../../gateway/mqtt/subscribe-packet.ts';
import type { MqttSettings } from '../../../../gateway/settings.ts';
import { packet } from '../../../harness/raw-mqtt.ts';

const limits = {
  maxTopicLength: 512,
  maxTopicLevels: 16,
  maxUserProperties: 32,
  maxSubscriptions: 50,
} as MqttSettings;
const frame: Frame = { head: 0, start: 0, end: 0 };

function framesOf(data: Buffer): { frames: string[]; rest: number } {
  const frames: string[] = [];
  let at = 0;
  while (at < data.length && scanFrame(data, at, 1_000_000, frame) === whole) {
    frames.push(`${frame.head}:${data.subarray(frame.start, frame.end).toString('hex')}`);
    at = frame.end;
  }
  return { frames, rest: at };
}

test('frames are found however the stream was cut', () => {
  const packets = fc.array(
    fc.tuple(fc.integer({ min: 0x10, max: 0xff }), fc.uint8Array({ maxLength: 300 })),
    { minLength: 1, maxLength: 6 },
  );
  fc.assert(
    fc.property(packets, fc.nat(), (parts, cut) => {
      const bytes = parts.map(([head, body]) => packet(head, [...body]));
      const stream = Buffer.concat(bytes);
      const first = stream.subarray(0, cut % stream.length);
      const { frames, rest } = framesOf(first);
      const again = framesOf(stream.subarray(rest));
      expect([...frames, ...again.frames]).toHaveLength(parts.length);
    }),
  );
});

test('a length is judged when it is announced, before the body is there', () => {
  expect(scanFrame(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]), 0, 1000, frame)).toBe(tooLarge);
  expect(scanFrame(Buffer.from([0x30, 0xe6, 0x07]), 0, 1000, frame)).toBe(tooLarge);
  expect(scanFrame(Buffer.from([0x30, 0xe5, 0x07]), 0, 1000, frame)).toBe(incomplete);
  expect(scanFrame(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 1]), 0, 1e9, frame)).toBe(malformedLength);
  expect(scanFrame(Buffer.from([0x30]), 0, 1000, frame)).toBe(incomplete);
});

test.each([
  ['CONNECT', (bytes: Buffer) => readConnect(bytes, 0, 0, bytes.length, limits)],
  ['SUBSCRIBE', (bytes: Buffer) => readSubscribe(bytes, 0, bytes.length, 5, limits)],
])('noise as %s is refused with a Fault, never another error', (_what, read) => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    // A good beginning gets further in.
    fc.uint8Array({ maxLength: 60 }).map((rest) => Uint8Array.of(0, 4, 77, 81, 84, 84, 5, ...rest)),
  );
  fc.assert(
    fc.property(noise, (bytes) => {
      try {
        read(Buffer.from(bytes));
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Fault);
        expect((thrown as Fault).kind).not.toBe('internal');
      }
    }),
    { numRuns: 5000 },
  );
});
