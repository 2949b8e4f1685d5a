/** Records and CloudEvents: what goes in comes out, and every event is one line of good JSON. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cloudEventJson } from '../../../../gateway/telemetry/cloud-event.ts';
import {
  originBytes,
  readRecords,
  recordSizeAtMost,
  writeRecord,
} from '../../../../gateway/telemetry/record.ts';
import { Routes } from '../../../../gateway/telemetry/routes.ts';

const events = fc.array(
  fc.record({
    isEvent: fc.boolean(),
    timeMs: fc.integer({ min: 0, max: 4e12 }),
    channel: fc.string({ unit: 'grapheme', maxLength: 40 }),
    contentType: fc.oneof(
      fc.constantFrom('', 'application/json', 'text/plain', 'application/x'),
      fc.string({ maxLength: 20 }),
    ),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.json().map((text) => new TextEncoder().encode(text)),
    ),
  }),
  { maxLength: 8 },
);

test('a batch gives back the events that were written, in order, with stable ids', () => {
  fc.assert(
    fc.property(events, (written) => {
      const origin = originBytes('plant', 'pump-1');
      const sizes = written.map(({ channel, contentType, payload }) =>
        recordSizeAtMost(origin, channel, contentType, payload),
      );
      const buffer = Buffer.alloc(sizes.reduce((sum, size) => sum + size, 0));
      let at = 0;
      for (const { isEvent, timeMs, channel, contentType, payload } of written)
        at = writeRecord(buffer, at, isEvent, timeMs, origin, channel, contentType, payload);
      expect(at).toBeLessThanOrEqual(buffer.length);
      const read = readRecords(buffer.subarray(0, at), 'e', 100);
      expect(read.map(({ id, sequence }) => [id, sequence])).toEqual(
        written.map((_, n) => [`e-${100 + n}`, 100 + n]),
      );
      for (const [n, event] of read.entries()) {
        expect(event).toMatchObject({
          fleet: 'plant',
          device: 'pump-1',
          class: written[n]!.isEvent ? 'event' : 'telemetry',
          channel: written[n]!.channel.toWellFormed(),
          contentType: written[n]!.contentType.toWellFormed(),
          timeMs: written[n]!.timeMs,
        });
        expect(new Uint8Array(event.payload)).toEqual(written[n]!.payload);
        const line = cloudEventJson(event);
        expect(line).not.toMatch(/[\n\r]/);
        const cloud = JSON.parse(line);
        expect(cloud).toMatchObject({ specversion: '1.0', id: event.id, device: 'pump-1' });
        expect(payloadOf(cloud)).toEqual(Buffer.from(event.payload));
      }
    }),
  );

  /** The payload as a consumer would have it again; JSON may have been re-serialised. */
  function payloadOf(cloud: { data?: unknown; data_base64?: string; datacontenttype?: string }): Buffer {
    if (cloud.data_base64 !== undefined) return Buffer.from(cloud.data_base64, 'base64');
    if (cloud.data === undefined) return Buffer.alloc(0);
    if (typeof cloud.data === 'string' && /^text\//.test(cloud.datacontenttype ?? ''))
      return Buffer.from(cloud.data);
    return expect.toSatisfy((raw: Buffer) => {
      try {
        expect(JSON.parse(raw.toString())).toEqual(cloud.data);
        return true;
      } catch {
        return raw.toString() === cloud.data;
      }
    }) as unknown as Buffer;
  }
});

test('routes name every backend of every rule that matches, once', () => {
  const routes = new Routes([
    { match: 'telemetry/#', to: ['lake'] },
    { match: 'telemetry/raw/+', to: ['lake', 'raw'] },
    { match: 'events/#', to: ['bus'] },
  ]);
  const of = (eventClass: 'telemetry' | 'event', channel: string) => [
    ...routes.backendsOf({ class: eventClass, channel }),
  ];
  expect(of('telemetry', '')).toEqual(['lake']);
  expect(of('telemetry', 'raw/x')).toEqual(['lake', 'raw']);
  expect(of('telemetry', 'raw/x/y')).toEqual(['lake']);
  expect(of('event', 'door')).toEqual(['bus']);
});
