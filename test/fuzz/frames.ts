/** The frame scanner against mqtt-packet's parser: on streams of packets, cut anywhere, whole and mutated. */
import fc from 'fast-check';
import { type Packet, parser } from 'mqtt-packet';
import { expect } from 'vitest';
import { Fault } from '#common/fault.ts';
import { type FrameTaker, Inbox } from '../../gateway/mqtt/inbox.ts';
import { bytesOf, cuts, mutate, mutations, packets, pieces, type Version, versions } from './mqtt-packets.ts';
import { target } from './target.ts';

const limit = 4096;

class Taker implements FrameTaker {
  readonly frameLimit = limit;
  readonly awaitsConnect = false;
  readonly frames: Buffer[] = [];
  /** Every so many frames it asks to be asked again. */
  readonly #reluctance: number;
  #asked = 0;

  constructor(reluctance: number) {
    this.#reluctance = reluctance;
  }

  takeFrame(head: number, data: Buffer, frameStart: number, _start: number, end: number): boolean {
    this.#asked += 1;
    if (this.#reluctance > 0 && this.#asked % (this.#reluctance + 1) === 0) {
      this.inbox?.hold();
      return false;
    }
    expect(head).toBe(data[frameStart]);
    this.frames.push(Buffer.from(data.subarray(frameStart, end)));
    return true;
  }

  inbox: Inbox | null = null;
}

/** Reads it all; a fault ends it. */
function read(stream: Buffer, sizes: readonly number[], reluctance: number) {
  const taker = new Taker(reluctance);
  const inbox = new Inbox(taker);
  taker.inbox = inbox;
  try {
    for (const piece of pieces(stream, sizes)) {
      // A copy that is overwritten afterwards: what is kept of it must be a copy too.
      const lent = Buffer.from(piece);
      inbox.read(lent);
      lent.fill(0xa5);
      while (inbox.held) inbox.release();
      expect(inbox.waiting).toBeLessThan(limit);
    }
    return { frames: taker.frames, fault: null, waiting: inbox.waiting };
  } catch (thrown) {
    return { frames: taker.frames, fault: Fault.of(thrown), waiting: inbox.waiting };
  }
}

function parsed(stream: Buffer, version: Version): Packet[] {
  const found: Packet[] = [];
  const reading = parser({ protocolVersion: version });
  reading.on('packet', (packet) => found.push(packet));
  reading.on('error', (error) => {
    throw error;
  });
  reading.parse(stream);
  return found;
}

export const sameFrames = target(
  'frames',
  'the frames of a stream are the packets that mqtt-packet finds, however it was cut',
  [versions, fc.array(packets, { minLength: 1, maxLength: 8 }), cuts, fc.nat(3)],
  (version, sent, sizes, reluctance) => {
    const stream = Buffer.concat(sent.map((packet) => bytesOf(packet, version)));
    const { frames, fault, waiting } = read(stream, sizes, reluctance);
    expect(fault).toBeNull();
    expect(waiting).toBe(0);
    expect(Buffer.concat(frames).equals(stream)).toBe(true);
    expect(frames.map((frame) => parsed(frame, version)[0])).toEqual(parsed(stream, version));
  },
);

export const brokenFrames = target(
  'broken-frames',
  'a stream that was broken gives the same frames or the same fault however it is cut, and never more waiting than the limit',
  [versions, fc.array(packets, { minLength: 1, maxLength: 6 }), mutations, cuts],
  (version, sent, how, sizes) => {
    const stream = mutate(Buffer.concat(sent.map((packet) => bytesOf(packet, version))), how);
    const whole = read(stream, [], 0);
    const cut = read(stream, sizes, 0);
    for (const { fault } of [whole, cut])
      expect([undefined, 'malformed-packet', 'packet-too-large']).toContain(fault?.kind);
    expect(cut).toEqual(whole);
  },
);
