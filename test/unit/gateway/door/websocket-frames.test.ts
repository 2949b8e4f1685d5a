/** WebSocket frames as a server reads them, against the frames that the library of others writes, cut anywhere. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as ws from 'ws';
import { Fault } from '#common/fault.ts';
import {
  binaryFrame,
  closeFrame,
  pongFrame,
  WebSocketFrames,
} from '../../../../gateway/door/websocket-frames.ts';

/** Exported, and missing in the types. */
const { Receiver, Sender } = ws as unknown as {
  Receiver: new (options: object) => NodeJS.EventEmitter & { write(bytes: Buffer): void };
  Sender: { frame(body: Buffer, options: object): Buffer[] };
};

interface Heard {
  data: Buffer;
  pings: string[];
  closed: number[];
  fault: string | null;
}

/** What is heard of chunks; they are overwritten, so each is a copy. */
function hear(chunks: readonly Uint8Array[]): Heard {
  const heard: Heard = { data: Buffer.alloc(0), pings: [], closed: [], fault: null };
  const frames = new WebSocketFrames({
    data: (bytes) => (heard.data = Buffer.concat([heard.data, bytes])),
    ping: (payload) => heard.pings.push(payload.toString('hex')),
    closed: (code) => heard.closed.push(code),
  });
  try {
    for (const chunk of chunks) frames.read(Buffer.from(chunk));
  } catch (thrown) {
    heard.fault = Fault.of(thrown).kind;
  }
  return heard;
}

/** A frame as a client sends it, by hand: header bytes, then the payload with a mask of zeros. */
const frame = (first: number, length: number | number[], payload: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.from([first, ...[length].flat()]), Buffer.alloc(4), payload]);
const short = (first: number, payload: Uint8Array): Buffer => frame(first, 0x80 | payload.length, payload);

const payload = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.integer({ min: 65_000, max: 70_000 }).map((size) => new Uint8Array(size).fill(7)),
);
const message = fc.record({
  what: fc.constantFrom<'data' | 'ping' | 'pong'>('data', 'data', 'ping', 'pong'),
  payload,
  isLast: fc.boolean(),
});

test('what a library sends is heard byte for byte, however it is fragmented and wherever it is cut', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }), (sent, cuts) => {
      const wire: Buffer[] = [];
      const data: Uint8Array[] = [];
      const pings: string[] = [];
      let inMessage = false;
      const write = (body: Uint8Array, opcode: number, fin: boolean) =>
        wire.push(
          ...Sender.frame(Buffer.from(body), {
            opcode,
            fin,
            mask: true,
            readOnly: false,
            rsv1: false,
          }),
        );
      for (const { what, payload: body, isLast } of sent) {
        if (what === 'data') {
          write(body, inMessage ? 0 : 2, isLast);
          inMessage = !isLast;
          data.push(body);
        } else {
          const control = body.subarray(0, 125);
          write(control, what === 'ping' ? 9 : 10, true);
          if (what === 'ping') pings.push(Buffer.from(control).toString('hex'));
        }
      }
      const all = Buffer.concat(wire);
      const at = [0, ...cuts.map((cut) => cut % (all.length + 1)).sort((a, b) => a - b), all.length];
      const heard = hear(at.slice(1).map((end, index) => all.subarray(at[index], end)));
      expect(heard.fault).toBeNull();
      expect(heard.data.equals(Buffer.concat(data))).toBe(true);
      expect(heard.pings).toEqual(pings);
    }),
  );
});

test('a library reads what we write', async () => {
  const receiver = new Receiver({ isServer: false });
  const got: Buffer[] = [];
  const pongs: string[] = [];
  let closed: [number, string] | null = null;
  receiver.on('message', (data: Buffer) => got.push(Buffer.from(data)));
  receiver.on('pong', (data: Buffer) => pongs.push(data.toString()));
  const done = new Promise<void>((resolve) =>
    receiver.on('conclude', (code: number, reason: Buffer) => {
      closed = [code, reason.toString()];
      resolve();
    }),
  );
  const sizes = [0, 1, 125, 126, 65_535, 65_536, 200_000];
  for (const size of sizes) receiver.write(binaryFrame(Buffer.alloc(size, size & 255)));
  receiver.write(pongFrame(Buffer.from('here')));
  receiver.write(closeFrame(1008, 'device-revoked'));
  await done;
  expect(got.map(({ length }) => length)).toEqual(sizes);
  expect(pongs).toEqual(['here']);
  expect(closed).toEqual([1008, 'device-revoked']);
});

const eight = (high: number, low: number): number[] => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(high, 0);
  bytes.writeUInt32BE(low, 4);
  return [0xff, ...bytes];
};

test.each<[string, Buffer, string]>([
  ['a text frame [MQTT-6.0.0-1]', short(0x81, Buffer.from('x')), 'unsupported-media-type'],
  ['a frame without a mask', Buffer.from([0x82, 1, 0x10]), 'protocol-error'],
  ['a reserved bit', short(0xc2, Buffer.from('x')), 'protocol-error'],
  ['a reserved data opcode', short(0x83, Buffer.from('x')), 'protocol-error'],
  ['a reserved control opcode', short(0x8b, Buffer.from('x')), 'protocol-error'],
  ['a continuation of nothing', short(0x80, Buffer.from('x')), 'protocol-error'],
  [
    'a message within a message',
    Buffer.concat([short(0x02, Buffer.from('x')), short(0x82, Buffer.from('y'))]),
    'protocol-error',
  ],
  ['a fragmented ping', short(0x09, Buffer.from('x')), 'protocol-error'],
  ['a ping of 126 bytes', frame(0x89, [0xfe, 0, 126], Buffer.alloc(126)), 'protocol-error'],
  ['a length written longer than need be, two bytes', frame(0x82, [0xfe, 0, 125]), 'protocol-error'],
  ['a length written longer than need be, eight bytes', frame(0x82, eight(0, 65_535)), 'protocol-error'],
  ['a length with its first bit set', frame(0x82, eight(0x8000_0000, 0)), 'protocol-error'],
  ['a length beyond what a number holds', frame(0x82, eight(0x0020_0000, 0)), 'protocol-error'],
  ['a close with half a code', short(0x88, Buffer.from([3])), 'protocol-error'],
  ['a close with a code that nobody sends', short(0x88, Buffer.from([0x03, 0xed])), 'protocol-error'],
  ['a close with a broken reason', short(0x88, Buffer.from([0x03, 0xe8, 0xff])), 'protocol-error'],
])('%s is refused', (_what, bytes, fault) => {
  expect(hear([bytes]).fault).toBe(fault);
  // Byte by byte too.
  expect(hear([...bytes].map((byte) => Buffer.from([byte]))).fault).toBe(fault);
});

test('a frame that announces four gigabytes holds nothing: its bytes are passed on as they come', () => {
  const heard = hear([frame(0x82, eight(1, 0)), Buffer.from('first'), Buffer.from('second')]);
  expect(heard).toMatchObject({ fault: null, data: Buffer.from('firstsecond') });
});

test('empty continuations by the thousand are nothing to hear', () => {
  const flood = Buffer.concat([
    short(0x02, Buffer.alloc(0)),
    ...Array(10_000).fill(short(0x00, Buffer.alloc(0))),
  ]);
  expect(hear([flood])).toMatchObject({ fault: null, data: Buffer.alloc(0) });
});

test('after a close nothing is heard', () => {
  const heard = hear([
    Buffer.concat([short(0x88, Buffer.from([0x03, 0xe8])), short(0x82, Buffer.from('late'))]),
    short(0x82, Buffer.from('later')),
  ]);
  expect(heard).toMatchObject({ fault: null, closed: [1000], data: Buffer.alloc(0) });
});
