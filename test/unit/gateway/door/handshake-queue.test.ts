/** Who may begin a handshake: at once while there is room; then whoever has said something, in fair turns. */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { HandshakeQueue } from '../../../../gateway/door/handshake-queue.ts';
import { StillClock } from '../../../harness/still-clock.ts';

class Visitor extends EventEmitter {
  bytesRead = 0;
  readableLength = 0;
  destroyed = false;
  begun = false;
  leave = () => {};

  destroy(): void {
    this.destroyed = true;
    this.leave();
  }

  /** Its ClientHello arrives; one that was begun reads it by TLS. */
  speak(): void {
    this.bytesRead = 100;
    if (this.begun) return;
    this.readableLength = 100;
    this.emit('readable');
  }
}

function queueOf(limits: { handshakes?: number; handshakeQueue?: number } = {}) {
  const clock = new StillClock(0);
  let dropped = 0;
  const queue = new HandshakeQueue({
    limits: { handshakes: 12, handshakeQueue: 12, helloTimeout: 3_000, handshakeTimeout: 10_000, ...limits },
    clock,
    onDropped: () => {
      dropped += 1;
    },
  });
  const come = (address: string, speaks = true): Visitor => {
    const visitor = new Visitor();
    visitor.leave = queue.enter(visitor as unknown as Socket, address, {
      begin: () => {
        visitor.begun = true;
      },
      late: () => {},
      dropped: () => {},
    });
    if (speaks) visitor.speak();
    return visitor;
  };
  const many = (count: number, address: string, speaks = true) =>
    Array.from({ length: count }, () => come(address, speaks));
  const begun = (visitors: readonly Visitor[]) => visitors.filter((visitor) => visitor.begun).length;
  return { clock, queue, come, many, begun, dropped: () => dropped };
}

test('while few are under way, each begins at once, even before it has spoken', () => {
  const { many, begun } = queueOf();
  expect(begun(many(3, '192.0.2.1', false))).toBe(3);
});

test('those who say nothing hold a quarter of the places at most, and an honest one begins as if they were not there', () => {
  const { queue, come, many, begun } = queueOf();
  const silent = many(10_000, '192.0.2.1', false);
  expect(begun(silent)).toBe(3);
  expect(queue.waiting).toBe(0);
  expect(come('198.51.100.1').begun).toBe(true);
});

test('whoever says nothing is ended soon, and whoever is not done is ended later', async () => {
  const { clock, queue, come } = queueOf();
  const silent = come('192.0.2.1', false);
  const slow = come('192.0.2.1');
  await clock.move(3_000);
  expect([silent.destroyed, slow.destroyed]).toEqual([true, false]);
  await clock.move(7_000);
  expect(slow.destroyed).toBe(true);
  expect(queue.underWay).toBe(0);
});

test('one address that stalls 10,000 handshakes leaves places for others', () => {
  const { queue, come, many, begun } = queueOf();
  const stalled = many(10_000, '192.0.2.1');
  expect(begun(stalled)).toBe(5);
  expect(queue.waiting).toBeLessThanOrEqual(12);
  expect(come('192.0.2.2').begun).toBe(true);
  expect(come('198.51.100.1').begun).toBe(true);
});

test('several that stall share what there is, and still leave some', () => {
  const { come, many } = queueOf({ handshakes: 100, handshakeQueue: 1000 });
  for (let network = 0; network < 8; network++) many(500, `10.0.${network}.1`);
  expect(come('198.51.100.1').begun).toBe(true);
});

test('places that get free go round the networks, and round their addresses', () => {
  const { queue, come, many, begun } = queueOf({ handshakes: 4, handshakeQueue: 1000 });
  const greedy = many(100, '192.0.2.1');
  const second = come('192.0.2.2');
  const others = [come('198.51.100.1'), come('203.0.113.1')];
  const before = begun(greedy);
  for (let turns = 0; turns < 6; turns++)
    greedy.find(({ begun: done, destroyed }) => done && !destroyed)!.destroy();
  expect(others.map((other) => other.begun)).toEqual([true, true]);
  expect(second.begun).toBe(true);
  expect(begun(greedy) - before).toBeLessThanOrEqual(6);
  expect(queue.underWay).toBeLessThanOrEqual(4);
});

test('a full queue drops the oldest of whoever has more than its share, and nobody else', () => {
  const { queue, come, many, dropped } = queueOf({ handshakes: 4, handshakeQueue: 12 });
  const greedy = many(50, '192.0.2.1');
  const waiting = greedy.filter(({ begun, destroyed }) => !begun && !destroyed);
  expect(dropped()).toBeGreaterThan(0);
  expect(waiting).toEqual(greedy.slice(-waiting.length));
  many(4, '198.51.100.1');
  const honest = come('203.0.113.1');
  expect(honest.destroyed).toBe(false);
  expect(queue.waiting).toBeLessThanOrEqual(12);
});

test('whoever leaves gives back what it held, wherever it stood', () => {
  const { queue, many } = queueOf();
  const all = [...many(5, '192.0.2.1'), ...many(5, '192.0.2.1'), ...many(5, '192.0.2.1', false)];
  for (const visitor of all) visitor.destroy();
  for (const visitor of all) visitor.leave();
  expect([queue.underWay, queue.waiting]).toEqual([0, 0]);
});

test('one that closes instead of speaking is ended', () => {
  const { come, many } = queueOf();
  many(3, '192.0.2.1', false);
  const mute = come('198.51.100.1', false);
  mute.emit('readable');
  expect(mute.destroyed).toBe(true);
});
