/** Several processes as one gateway: questions go by name, answers are put together by their shape. */
import { expect, test } from 'vitest';
import type { GatewayPeer } from '#common/contract/line.ts';
import { PeerGroup, peerBehind, together } from '../../../../gateway/upstream/peer-group.ts';

test('every method is relayed by its name, also one that nobody has heard of here', async () => {
  const asked: unknown[] = [];
  const peer = peerBehind('north/1', async (method, args) => {
    asked.push([method, ...args]);
    return [method];
  });
  expect(peer.name).toBe('north/1');
  expect(await peer.sessions('pump')).toEqual(['sessions']);
  const later = peer as unknown as { offer(command: object): Promise<unknown> };
  expect(await later.offer({ id: 'c1' })).toEqual(['offer']);
  expect(asked).toEqual([
    ['sessions', 'pump'],
    ['offer', { id: 'c1' }],
  ]);
  // It can be awaited and looked at like anything else.
  expect(await Promise.resolve(peer)).toBe(peer);
  expect(later.offer).toBe(later.offer);
});

test('a method that only tells is no error when the process is gone', async () => {
  const peer = peerBehind('north/1', () => Promise.reject(new Error('gone')));
  peer.offer(null);
  await new Promise((resolve) => setImmediate(resolve));
  await expect(peer.live({ issuer: 'x' })).rejects.toThrow('gone');
});

test('a group answers as one: lists joined, numbers summed', async () => {
  const member = (count: number): GatewayPeer =>
    peerBehind('x', async (method) => (method === 'live' ? count : Array(count).fill(method)));
  const group = new PeerGroup('north');
  const leave = group.join(member(2));
  group.join(member(3));
  expect(await group.peer.live({ fleet: 'plant' as never })).toBe(5);
  expect(await group.peer.sessions('pump')).toHaveLength(5);
  leave();
  expect(await group.peer.sessions('pump')).toHaveLength(3);
  expect(group.size).toBe(1);
});

test.each([
  [
    [[1], [], [2, 3]],
    [1, 2, 3],
  ],
  [[1, 2], 3],
  [[false, true], true],
  [[false, false], false],
  [[undefined, null, 'first', 'second'], 'first'],
  [[undefined, undefined], undefined],
  [[], []],
])('%j make %j', (answers, expected) => {
  expect(together(answers)).toEqual(expected);
});

test('a member is asked as itself', async () => {
  class Member {
    readonly #count = 3;
    async live(): Promise<number> {
      return this.#count;
    }
  }
  const group = new PeerGroup('north');
  group.join(new Member() as unknown as GatewayPeer);
  group.join(new Member() as unknown as GatewayPeer);
  expect(await group.peer.live({ fingerprints: [] })).toBe(6);
});
